"""Rules across groups: what is refused before any work, and that all problems are said."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_export import api
from llm_export.backends import BACKENDS
from llm_export.checks.rules import find_problems, require_sound
from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.errors import RecipeError
from llm_export.quant.schemes import SCHEMES, TABLES, refusal
from llm_export.resolve.recipe import resolve


def problems(*overrides: str) -> list[str]:
    return [str(p) for p in find_problems(api.compose_recipe(None, list(overrides)).recipe)]


def test_sound_recipes_have_no_problems() -> None:
    for choice in ("none", "8da8w", "8da4w"):
        assert problems("model=tiny", "backend=xnnpack", f"quant={choice}") == []
    assert problems("model=tiny", "backend=portable", "runtime=static") == []


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("quant=8da8w",), "portable cannot run 8da8w for a linear module"),
        (("backend=xnnpack", "quant=8da8w", "quant.group_size=32"), "group_size must be null"),
        (("backend=xnnpack", "quant=8da4w", "quant.group_size=40"), "not a multiple of 32"),
        (("backend=xnnpack", "quant.rules=[{scheme: 8w, kind: linear}]"), "cannot run 8w"),
        (("backend=xnnpack", "quant.rules=[{scheme: 4w, kind: head}]"), "cannot run 4w"),
        (("quant.rules=[{scheme: 5w, kind: embedding}]",), "there is no scheme '5w'"),
        (("runtime.context_length=9000",), "9000 is too long: the model has 8192 positions"),
        (
            ("runtime.context_length=200", "benchmark.prompt_length=300"),
            "300 prompt and 1 decoded tokens do not fit the context of 200",
        ),
        (("model.config.hidden_act=mish",), "does not implement hidden_act='mish'"),
        (("+model.config.sliding_window=4",), "does not know the config key(s) sliding_window"),
        (("model.config.num_key_value_heads=3",), "is not a multiple"),
        (("checkpoint.path=/nowhere.gguf",), "no such checkpoint: /nowhere.gguf"),
        (("checkpoint.adapter=/nowhere",), "there is no such adapter folder: /nowhere"),
        (("checkpoint.random_seed=null",), "names no checkpoint"),
        (("model.config.num_key_value_heads=0",), "is not a positive whole number"),
        (("model.config.hidden_size=abc",), "is not a positive whole number"),
        (("model.config.rms_norm_eps=null",), "is not a positive number"),
        (("+model.config.rope_parameters={rope_theta: -1}",), "rope_theta=-1"),
        (("backend=xnnpack", "quant.group_size=64"), "no rule uses group_size 64"),
        (("verify.text=/nowhere.txt",), "no such text file: /nowhere.txt"),
        (("backend.name=xnpack",), "there is no backend 'xnpack'"),
        (("model.family=lama",), "there is no model family 'lama'"),
        (("runtime.kv_cache=ring",), "has no sliding window shorter than the context"),
        (
            (
                "model.family=mistral",
                "+model.config.sliding_window=8",
                "runtime.kv_cache=ring",
                "runtime.attention=custom_op",
                "~model.config.attention_bias",
                "~model.config.mlp_bias",
            ),
            "'custom_op' attention has a static cache only",
        ),
    ],
)
def test_a_bad_pair_is_refused_with_words(overrides: tuple[str, ...], words: str) -> None:
    found = problems("model=tiny", *overrides)
    assert any(words in text for text in found), found
    assert all("fix:" in text for text in found)


@pytest.mark.parametrize("words", [["backend=openvino", "quant=8da4w"], ["quant=8da8w"]])
def test_one_cause_is_told_once_with_all_kinds_of_modules(words: list[str]) -> None:
    (found,) = problems("model=tiny", *words)
    assert "for a linear module" in found
    assert "; the same for head modules\n" in found


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            (
                "runtime.kv_cache=attention_sink",
                "runtime.context_length=512",
                "runtime.prefill_length=512",
            ),
            "must be between 1 and context_length - sink_tokens (508), and is 512",
        ),
        (
            ("runtime=npu", "runtime.dynamic_shapes=true"),
            "must not be true with attention=static_io",
        ),
        (
            ("runtime=static", "runtime.kv_cache=ring", "runtime.prefill_length=8"),
            "must be 1 with fixed shapes and kv_cache=ring",
        ),
    ],
)
def test_a_runtime_that_contradicts_itself(overrides: tuple[str, ...], words: str) -> None:
    found = problems("model=tiny", *overrides)
    assert any(words in text for text in found), found
    assert all("fix:   runtime." in text for text in found)


def test_kinds_of_caches_are_sound_where_they_can_be() -> None:
    assert problems("model=tiny", "backend=xnnpack", "runtime.kv_cache=attention_sink") == []
    assert problems("model=tiny", "backend=xnnpack", "quant=8da8w", "runtime=npu") == []
    fixed = ("runtime.prefill_length=8", "runtime.logits=all")
    assert problems("model=tiny", "runtime=npu", *fixed) == []
    recipe = api.compose_recipe(None, ["model=tiny", "runtime.kv_cache=attention_sink"]).recipe
    assert resolve(recipe).attention == "attention_sink"


def test_all_problems_are_said_at_once() -> None:
    recipe = api.compose_recipe(
        None, ["model=tiny", "quant=8da8w", "runtime.context_length=9000"]
    ).recipe
    with pytest.raises(RecipeError) as caught:
        require_sound(recipe)
    assert "2 problems" in str(caught.value)


def test_auto_attention_is_the_backends_best() -> None:
    recipe = api.compose_recipe(None, ["model=tiny", "backend=xnnpack"]).recipe
    assert resolve(recipe).attention == "custom_op_by_head"


def test_the_matrix_names_known_backends_and_schemes() -> None:
    assert set(TABLES) == set(BACKENDS)
    for backend in TABLES:
        table = TABLES.get(backend)
        assert set(table.kinds) == set(ModuleKind)
        for schemes in table.kinds.values():
            assert set(schemes) <= set(SCHEMES)
        assert set(table.why_not) <= set(SCHEMES)


def test_weight_only_linears_are_refused_on_xnnpack() -> None:
    """They lower without complaint there and compute garbage."""
    for scheme in ("8w", "4w"):
        assert refusal("xnnpack", ModuleKind.linear, QuantRule(scheme=scheme, group_size=32))


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("[{}]", ("the rule is empty", "quant.rules[0]", "say its scheme, as in")),
        ("[{scheme: 8w, kind: embedding}, {kind: linear}]",
         ("the rule has no scheme", "quant.rules[1]", "say its scheme, as in")),
        ("[{schema: 8w}]", ("a rule has no key 'schema'", "quant.rules[0]", "'scheme'?")),
        ("[8da8w]", ("a rule is a mapping, not '8da8w'", "{kind: linear, scheme: 8da8w}")),
        ("{scheme: 8w}", ("rules are a list", "quant.rules", "quant.rules=[{kind: linear")),
        ("null", ("rules are a list", "quant.rules=[{kind: linear")),
        ("[{scheme: 8w, kind: linaer}]",
         ("there is no kind of module 'linaer'", "quant.rules[0].kind", "'linear'?")),
        ("[{scheme: 8w}, {scheme: 8w, group_size: x}]",
         ("'x'", "quant.rules[1].group_size", "group_size takes null or an integer")),
        ("[{scheme: 8w, group_size: -3}]", ("must be positive", "quant.rules[0].group_size=-3")),
        ("[{scheme: 8w, layers: 7-3}]", ("range 7-3 holds nothing", "quant.rules[0].layers=7-3")),
        ("[{scheme: 8w, pattern: '('}]", ("not a regular expression", "quant.rules[0].pattern")),
    ],
)  # fmt: skip
def test_a_rule_that_is_no_rule(rules: str, words: tuple[str, ...], tmp_path: Path) -> None:
    """Wherever the list is: on the command line, in a recipe, in an option file."""
    (tmp_path / "quant").mkdir()
    (tmp_path / "quant" / "mine.yaml").write_text(f"name: mine\nrules: {rules}\n")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"defaults: [export_base, _self_]\nquant:\n  rules: {rules}\n")
    for source, overrides, folder in (
        (None, [f"quant.rules={rules}"], None),
        (str(recipe), [], None),
        (None, ["quant=mine"], str(tmp_path)),
    ):
        with pytest.raises(RecipeError) as caught:
            api.compose_recipe(source, overrides, folder)
        for text in words:
            assert text in str(caught.value), (overrides, str(caught.value))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("quant=8da4w", "quant.rules=[]"),
         "nothing would be quantized, and the option is '8da4w'"),
        (("quant.rules=[{scheme: 8w, kind: embedding, layers: 1-2}]",),
         "layers=1-2: the model has 2 layers, 0 to 1"),
        (("quant.rules=[{scheme: 8da8w}]",), "fix:   quant.rules.0.kind=linear"),
        (("quant=auto",), "automatic mixed precision needs a budget"),
        (("quant=auto", "quant.bits_per_weight=5", "quant.file_megabytes=1"),
         "both budgets are set"),
        (("quant=8da8w", "quant.bits_per_weight=5"), "a budget is for automatic mixed precision"),
        (("quant=8da8w", "quant.file_megabytes=5"), "quant.file_megabytes=null, or quant=auto"),
        (("quant=auto", "quant.bits_per_weight=5", "quant.auto.candidates=[]"), "it is empty"),
        (("quant=auto", "quant.bits_per_weight=5", "quant.auto.candidates=[{scheme: 5w}]"),
         "there is no scheme '5w'"),
        (("quant=auto", "quant.bits_per_weight=5", "quant.auto.candidates=[{scheme: 8da8w}]",
          "backend=portable"), "portable runs none of the candidates"),
        (("quant=auto", "quant.bits_per_weight=5", "quant.group_size=null",
          "quant.auto.candidates=[{scheme: 8w, layers: '2'}]"), "the model has 2 layers"),
    ],
)  # fmt: skip
def test_rules_and_budgets_that_cannot_be_kept(overrides: tuple[str, ...], words: str) -> None:
    found = problems("model=tiny", "backend=xnnpack", *overrides)
    assert any(words in text for text in found), found
    assert all("fix:" in text for text in found)


def test_a_budget_is_a_positive_number() -> None:
    with pytest.raises(RecipeError) as caught:
        problems("model=tiny", "quant=auto", "quant.bits_per_weight=-1")
    assert "quant.bits_per_weight=-1" in str(caught.value)
    assert "must be positive" in str(caught.value)


def test_mixed_precision_is_sound_where_one_kind_of_module_can_have_it() -> None:
    """On the portable backend embeddings alone: the rest stays in 32 bits."""
    for backend, bits in (("portable", 28), ("xnnpack", 5)):
        assert problems("model=tiny", f"backend={backend}", "quant=auto",
                        f"quant.bits_per_weight={bits}", "quant.group_size=64") == []  # fmt: skip
