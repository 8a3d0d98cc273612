"""Composition: choices, overrides, swaps, and every error message."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_export import api
from llm_export.config.compose import Composer
from llm_export.config.composed import Composed
from llm_export.config.recipe_files import plain, recipe_yaml
from llm_export.config.schema import GROUPS, AttentionKind
from llm_export.errors import InputError, RecipeError

RECIPE = "smollm2_135m_xnnpack_8da8w"


def test_a_recipe_is_its_choices() -> None:
    composed = api.compose_recipe(RECIPE)
    assert composed.choices["model"] == "smollm2_135m"
    assert composed.choices["backend"] == "xnnpack"
    assert composed.recipe.name == RECIPE
    assert composed.recipe.model.config["num_hidden_layers"] == 30
    assert composed.recipe.checkpoint.package is not None


def test_groups_and_keys_are_overridden_without_a_plus() -> None:
    overrides = ["backend=portable", "quant=none", "runtime=static", "runtime.context_length=128"]
    recipe = api.compose_recipe(RECIPE, overrides).recipe
    assert (recipe.backend.name, recipe.quant.name) == ("portable", "none")
    assert recipe.runtime.attention is AttentionKind.plain
    assert recipe.runtime.context_length == 128
    assert recipe.name == "smollm2_135m_portable_none"


def test_the_group_size_reaches_the_rules() -> None:
    recipe = api.compose_recipe(RECIPE, ["quant=8da4w", "quant.group_size=64"]).recipe
    assert [r.group_size for r in recipe.quant.rules] == [64, 64, None]


def test_swapping_the_model_swaps_its_checkpoint() -> None:
    recipe = api.compose_recipe(RECIPE, ["model=llama3_2_1b"]).recipe
    assert recipe.checkpoint.package is None
    assert recipe.checkpoint.hf_id == "meta-llama/Llama-3.2-1B-Instruct"


@pytest.mark.parametrize("source", Composer().options(""))
def test_a_shipped_recipe_is_named_by_its_choices(
    source: str, composed: Callable[..., Composed]
) -> None:
    assert composed(recipe=source).recipe.name == source


OPTIONS = {group: Composer().options(group) for group in GROUPS}


OTHERS = {group: names for group, names in OPTIONS.items() if group != "model"}


@pytest.mark.parametrize("name", OPTIONS["model"])
def test_every_model_composes_and_describes_itself(
    name: str, composed: Callable[..., Composed]
) -> None:
    """Alone, as other tests compose it: once for all of them."""
    assert composed(f"model={name}").recipe.model.name == name
    assert Composer().describe("model", name)[0], f"model/{name} has no description"


@pytest.mark.parametrize("number", range(max(map(len, OTHERS.values()))))
def test_every_option_composes_and_describes_itself(
    number: int, composed: Callable[..., Composed]
) -> None:
    """One of each group at a time, since a composition takes long."""
    chosen = {group: names[number % len(names)] for group, names in OTHERS.items()}
    recipe = composed(*(f"{group}={option}" for group, option in chosen.items())).recipe
    for group, option in chosen.items():
        assert getattr(recipe, group).name == option
        assert Composer().describe(group, option)[0], f"{group}/{option} has no description"


# -- files ---------------------------------------------------------------------------------


def test_a_file_is_named_by_its_stem_and_takes_overrides(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("defaults: [export_base, _self_]\nruntime: {context_length: 256, "
                    "prefill_length: 64}\n")  # fmt: skip
    composed = api.compose_recipe(str(file), ["runtime.prefill_length=32"])
    assert composed.recipe.name == "mine"
    assert composed.recipe.runtime.context_length == 256
    assert composed.recipe.runtime.prefill_length == 32


def test_without_self_a_files_own_values_apply_last(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("defaults: [export_base, override quant: 8da4w]\nquant: {group_size: 64}\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert api.compose_recipe(str(file)).recipe.quant.group_size == 64


def test_an_included_recipe_names_one_option_of_each_group(tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text(
        "defaults: [export_base, override quant: [8w, 8da8w], _self_]\n"
    )
    (tmp_path / "mine.yaml").write_text("defaults: [theirs, _self_]\n")
    with pytest.raises(RecipeError, match="takes the name of one option") as caught:
        api.compose_recipe(str(tmp_path / "mine.yaml"))
    assert "theirs.yaml" in str(caught.value)


def test_a_swapped_group_leaves_the_files_values_behind(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("defaults:\n  - export_base\n  - override quant: 8da4w\n  - _self_\n"
                    "quant: {group_size: 64}\n")  # fmt: skip
    assert api.compose_recipe(str(file)).recipe.quant.group_size == 64
    swapped = api.compose_recipe(str(file), ["quant=8da8w"]).recipe
    assert swapped.quant.group_size is None
    assert swapped.name == "tiny_portable_8da8w"


def test_a_resolved_recipe_composes_to_itself_and_swaps(tmp_path: Path) -> None:
    first = api.compose_recipe(RECIPE, ["runtime.sampling.top_k=5"]).recipe
    file = tmp_path / "recipe.yaml"
    file.write_text(recipe_yaml(first))
    assert plain(asdict(api.compose_recipe(str(file)).recipe)) == plain(asdict(first))
    swapped = api.compose_recipe(str(file), ["model=tiny", "backend=portable", "quant=none"]).recipe
    assert swapped.model.name == "tiny"
    assert swapped.checkpoint.package is None
    assert swapped.runtime.sampling.top_k == 5


def test_a_config_dir_adds_options_and_recipes(tmp_path: Path) -> None:
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "short.yaml").write_text(
        "name: short\ncontext_length: 64\nprefill_length: 16\n"
    )
    (tmp_path / "brief.yaml").write_text(
        "defaults:\n  - export_base\n  - override runtime: short\n  - _self_\n"
    )
    assert "short" in Composer(None, str(tmp_path)).options("runtime")
    recipe = api.compose_recipe("brief", (), str(tmp_path)).recipe
    assert recipe.runtime.context_length == 64


# -- errors --------------------------------------------------------------------------------

MISTAKES = [
    ("+quant.grup_size=64", "no key 'quant.grup_size'", "'group_size'"),
    ("quant.grup_size=64", "no key 'quant.grup_size'", "'group_size'"),
    ("model=smolm2", "no model 'smolm2'", "'smollm2_135m'"),
    ("backnd=xnnpack", "no key 'backnd'", "'backend'"),
    ("runtime.sampling.tempature=1", "no key 'runtime.sampling.tempature'", "'temperature'"),
    ("model.config.hidden_sise=64", "no key 'model.config.hidden_sise'", "'hidden_size'"),
    ("quant.group_size=abc", "'abc' is not an integer", "llm-export explain quant.group_size"),
    ("runtime.sampling.top_p=abc", "'abc' is not a number", "explain runtime.sampling.top_p"),
    ("train.enabled=abc", "'abc' is not true or false", "explain train.enabled"),
    ("quant.rules.0.outliers=abc", "\n  where: quant.rules[0].outliers", "explain quant.rules"),
    (
        "quant.awq=3",
        "quant.awq takes null or a mapping with keys such as steps, pattern, not 3",
        "quant.awq.steps=20, for example; llm-export explain quant.awq",
    ),
    ("quant.smooth=[1]", "quant.smooth takes null or a mapping", "not [1]"),
    ("runtime.sampling=foo", "takes a mapping with keys such as temperature, top_k", "not foo"),
    ("deploy.targets=3", "deploy.targets takes a list of texts, not 3", "explain deploy.targets"),
    (
        "train.kinds=3",
        "train.kinds takes a list of linear, head, embedding, not 3",
        "[linear,head]",
    ),
    ("quant.rules=[{scheme: [1]}]", "takes text", "where: quant.rules[0].scheme"),
    ("benchmark.prompt_length={a: 1}", "must be a whole number", "prompt_length={'a':1}"),
    (
        "runtime.transform_options.x=1",
        "there is no key",
        "plus: +runtime.transform_options.x=VALUE",
    ),
    ("runtime=[1]", "runtime takes the name of one option", "llm-export ls runtime"),
    (f"checkpoint.random_seed={2**63}", "must fit 64 bits", "where: checkpoint.random_seed\n"),
    pytest.param(
        f"checkpoint.random_seed={'9' * 5000}",
        "must fit 64 bits",
        "override checkpoint.random",
        id="digits",
    ),
    ("quant=null", "quant takes the name of one option", "override quant=null"),
    ("quant=[8w,8da8w]", "quant takes the name of one option", "-m quant=ONE,ANOTHER runs each"),
    ("verify.lowering=null", "it cannot be null", "explain verify.lowering"),
    ("quant.rules.0=null", "it cannot be null", "explain quant.rules\n"),
    ("+quant.rules.9={scheme: 8w}", "the list has no such place", "explain quant.rules\n"),
    ("model=zzzzzzzz", "no model 'zzzzzzzz'", "llm-export run --help model"),
    (
        "runtime.attention=cstom",
        "no 'cstom': expected one of [auto, custom_op, custom_op_by_head, plain, static_io]",
        "runtime.attention",
    ),
    ("runtime.prefill_length=0", "must be positive", "runtime.prefill_length"),
    ("runtime.sink_tokens=-1", "must not be negative", "runtime.sink_tokens"),
    ("runtime.sampling.top_p=0", "must be in (0, 1]", "top_p"),
    ("runtime.sampling.min_p=1.5", "must be in [0, 1]", "min_p"),
    ("runtime.sampling.repetition_penalty=0", "must be positive", "repetition_penalty"),
    ("verify.window=1", "must be at least 2", "verify.window"),
    ("name=../../evil", "cannot name a bundle", "name"),
    ("checkpoint.package.name='x @ git+https://e/r'", "not valid", "checkpoint.package.name"),
    ("checkpoint.package.version=--pre", "not valid", "checkpoint.package.version"),
    ("checkpoint.package.member=../x.gguf", "not valid", "checkpoint.package.member"),
    ("quant=[", "the value cannot be read", "override quant=["),
    ("name=${oc.env:HOME}", "resolvers are not allowed", "name"),
    ("+model.config._target_=os.system", "'_target_' is not allowed", "model.config"),
]


@pytest.mark.parametrize(("override", "what", "hint"), MISTAKES)
def test_a_mistake_is_named_in_three_lines(override: str, what: str, hint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        api.compose_recipe(RECIPE, [override])
    text = str(caught.value)
    assert what in text
    assert hint in f"{text}\n"
    assert not re.search(r"subclass|\w+Config\b|\bstr\b|\bint\b|NoneType", text)
    assert "[" not in text.partition("explain ")[2]  # which takes keys, without indices
    assert len(text.splitlines()) <= 3
    assert caught.value.exit_code == 2


def test_a_number_out_of_range_is_named_also_where_nothing_uses_it() -> None:
    for key, value in {
        "quant.outliers": -1, "quant.group_size": 0, "quant.max_mean_kl": -0.1,
        "verify.quality.min_top1": 1.5, "train.steps": 0, "train.max_perplexity_ratio": "nan",
        "verify.lowering.max_logit_diff": "inf", "runtime.sampling.top_k": -1,
        "benchmark.max_seconds": 0, "checkpoint.random_seed": 10**20,
    }.items():  # fmt: skip
        with pytest.raises(RecipeError, match="must") as caught:
            api.compose_recipe(None, ["quant=none", f"{key}={value}"])
        assert f"where: {key}" in str(caught.value), key


@pytest.mark.parametrize(
    ("yaml_text", "what"),
    [
        ("quant: {grup_size: 64}", "no key 'quant.grup_size'"),
        ("quant:\n  rules:\n    - {schema: 8w}", "no key"),
        ("foo: 1", "no key 'foo'"),
        ("hydra: {callbacks: {x: {_target_: os.getcwd}}}", "'hydra' is not allowed"),
        ("out: /tmp/elsewhere", "'out' is not allowed"),
        ("defaults:\n  - export_base\n  - override model: ${oc.env:HOME}\n  - _self_", "resolvers"),
        ("quant: [", "not valid YAML"),
        ("a: &a [1, 1]\nb: &b [*a, *a]", "aliases are not allowed"),
        ("- 1\n- 2", "not a mapping"),
        ("backend: xnnpack", "defaults: [export_base, override backend: xnnpack, _self_]"),
        (
            "runtime: {sampling: 3}",
            "runtime.sampling takes a mapping with keys such as temperature",
        ),
        ("quant: {awq: [1, 2]}", "quant.awq takes null or a mapping with keys such as steps"),
        ("backend: {options: 3}", "backend.options takes a mapping"),
        ("defaults: [export_base, override model: null, _self_]", "it has no value"),
        ("model: {config: {_target_: os.system}}", "'_target_' is not allowed"),
        ("defaults:\n  - export_base\n  - override model: smolm2\n  - _self_", "no model 'smolm2'"),
        ("defaults: [export_base, override quant: [8w, 8da8w]]", "fix:   override quant: 8w; "),
        ("defaults: [override model: tiny, _self_]", "begin the list with export_base"),
        ("defaults: export_base", "defaults is a list, not one value"),
        ("defaults:", "defaults is a list, not empty"),
        ("runtime: {context_length: '${oc.env:HOME}'}", "resolvers are not allowed"),
    ],
)
def test_a_mistake_in_a_file_is_named(tmp_path: Path, yaml_text: str, what: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(yaml_text)
    with pytest.raises(RecipeError) as caught:
        api.compose_recipe(str(file))
    assert what in str(caught.value)
    assert "subclass" not in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


def test_of_many_choices_only_the_nearest_are_listed() -> None:
    with pytest.raises(RecipeError) as caught:
        api.compose_recipe(None, ["model=qwen3_1b"])
    assert "'qwen3_1_7b'" in str(caught.value)
    assert "codellama_7b" not in str(caught.value)


def test_unknown_recipes_and_files() -> None:
    with pytest.raises(RecipeError, match="no recipe 'smollm2_135m_xnpack_8da8w'") as caught:
        api.compose_recipe("smollm2_135m_xnpack_8da8w")
    assert "did you mean 'smollm2_135m_xnnpack_8da8w'" in str(caught.value)
    with pytest.raises(InputError, match="no such recipe file"):
        api.compose_recipe("nowhere/recipe.yaml")
    with pytest.raises(InputError, match="no such recipe file"):
        api.compose_recipe("x" * 5000 + "/y")
    with pytest.raises(InputError, match="--config-dir is not a folder"):
        api.compose_recipe(None, (), "nowhere")


@settings(deadline=None)
@given(st.text(alphabet="abcxyz.=+~[]{}'\"$: ,_0123456789", max_size=30))
def test_any_override_composes_or_fails_cleanly(text: str) -> None:
    with contextlib.suppress(RecipeError, InputError):
        api.compose_recipe(None, [text])


def test_overrides_reach_into_blocks_that_are_null() -> None:
    def quant(*words: str) -> Any:
        return api.compose_recipe(None, ["quant=8da4w", *words]).recipe.quant

    assert quant().awq is None
    assert quant("quant.awq={}").awq.steps == 10
    assert quant("quant.awq.steps=3").awq.steps == 3
    rotated = quant("quant.rotate={r1: false}", "quant.rotate.seed=7").rotate
    assert (rotated.r1, rotated.r2, rotated.seed) == (False, True, 7)
    assert quant("quant.rotate={}", "quant.rotate=null").rotate is None
    with pytest.raises(RecipeError, match="steps"):
        quant("quant.awq.step=3")


def test_the_resolved_recipe_is_plain_yaml() -> None:
    body = yaml.safe_load(recipe_yaml(api.compose_recipe(RECIPE).recipe))
    assert body["backend"]["name"] == "xnnpack"
    assert "out" not in body


def test_long_lists_take_few_lines_and_keep_their_values() -> None:
    recipe = api.compose_recipe(None, ["model=phi4_mini"]).recipe
    text = recipe_yaml(recipe)
    # Its scaling of RoPE has two lists of 48 numbers, which no other key of a model is like.
    short = recipe_yaml(api.compose_recipe(None, ["model=tiny"]).recipe)
    assert len(text.splitlines()) < len(short.splitlines()) + 40
    assert yaml.safe_load(text)["model"]["config"] == recipe.model.config


def test_an_option_cannot_make_hydra_build_objects(tmp_path: Path) -> None:
    (tmp_path / "runtime").mkdir()
    made = tmp_path / "made"
    (tmp_path / "runtime" / "evil.yaml").write_text(
        "# @package _global_\nruntime: {name: evil}\nhydra: {callbacks: {x: "
        f"{{_target_: os.mkdir, path: {made}}}}}}}\n"
    )
    composer = Composer(None, str(tmp_path))
    for attempt in (
        lambda: composer.compose(["runtime=evil"]),
        lambda: composer.variants(["runtime=evil"]),
    ):
        with pytest.raises(RecipeError, match="'_target_' is not allowed"):
            attempt()
    assert not made.exists()
