"""explain, cp, diff, new, schema, and what validate says, as a user would type them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hf_models
import jsonschema
import pytest
import yaml
from family_models import MEMBERS
from family_models import settings as family_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_export import api
from llm_export.backends import BACKENDS
from llm_export.cli.main import main
from llm_export.config.compose import Composer
from llm_export.config.difference import differences
from llm_export.config.json_schema import option_schema, recipe_schema
from llm_export.config.reference import REQUIRED, default_of, every_key
from llm_export.config.schema import GROUPS, CheckpointConfig, Recipe
from llm_export.runner.key_reference import explain

NAME = "smollm2_135m_xnnpack_8da8w"
ROOT = Path(__file__).resolve().parents[3]
Say = Callable[..., str]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """say(*words) is what the command prints; it must end well, or with the given code."""

    def run(*words: str, code: int = 0) -> str:
        assert main(list(words)) == code
        out, err = capsys.readouterr()
        return out if code == 0 else err

    return run


# -- explain -------------------------------------------------------------------------------


def test_every_key_is_explained() -> None:
    silent = [key for key, _, text in every_key() if not text]
    assert all(key.rpartition(".")[2] in ("name", "description", "package") for key in silent)


def test_a_key_says_type_default_readers_and_options(say: Say) -> None:
    text = say("explain", "quant.group_size")
    assert "quant.group_size  (int or null)" in text
    assert "default    null" in text
    assert "8da4w: 32" in text
    assert "read by    transform, quantize, export, lower, package, verify" in text
    facts = json.loads(say("explain", "verify.positions", "--json"))[0]
    assert facts["default"] == "1000"
    assert facts["read_by"] == ["verify"]
    assert facts["options"]["strict"] == "4000"
    assert facts["refused_by"] == ["load"]


def test_a_group_a_leaf_and_a_mistake(say: Say) -> None:
    sampling = say("explain", "runtime.sampling")
    assert len(re.findall(r"^runtime\.sampling\.", sampling, re.MULTILINE)) == 9
    assert "quant.group_size" in say("explain", "group_size")
    assert "did you mean 'quant.group_size'" in say("explain", "quant.group_siz", code=2)
    assert "'context_length'" in say("explain", "context_lenght", code=2)


def test_defaults_are_those_of_the_dataclasses() -> None:
    """Walked by attribute where the schema's default objects reach, by class elsewhere."""
    for key, _, _ in every_key():
        node: object = Recipe()
        for part in key.split("."):
            node = getattr(node, part, REQUIRED)
            if node is None or node is REQUIRED:
                break
        if node not in (None, REQUIRED, "???"):
            assert default_of(key) == node, key


def test_each_group_is_explained_whole() -> None:
    composer = Composer()
    for group in ("checkpoint", *GROUPS):
        found = {facts.key for facts in explain(group, composer)}
        assert found == {key for key, _, _ in every_key() if key.startswith(f"{group}.")}


# -- cp ------------------------------------------------------------------------------------


def test_a_copy_is_the_same_recipe_and_names_its_command(say: Say, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    text, command = say("cp", NAME, str(file)), f"llm-export run {shlex.quote(str(file))}"
    assert command in text
    assert file.read_text().startswith(f"# {command}\n")
    assert file.read_text().count("llm-export run") == 1
    left, right = (api.compose_recipe(source).recipe for source in (NAME, str(file)))
    assert differences(left, right) == []
    assert say("diff", NAME, str(file)) == "no difference\n"


def test_a_copy_into_a_folder_keeps_the_name(say: Say, tmp_path: Path) -> None:
    say("cp", NAME, str(tmp_path))
    assert (tmp_path / f"{NAME}.yaml").is_file()
    assert "there is such a file already" in say("cp", NAME, str(tmp_path), code=2)
    say("cp", NAME, str(tmp_path), "--force")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ((NAME, "mine.txt"), "ends in .yaml"),
        (("smollm2_135m_xnpack", "mine.yaml"), "there is no recipe"),
        ((NAME, "no/such/mine.yaml"), "cannot be written"),
    ],
)
def test_mistakes_of_cp(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, str], hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hint in say("cp", *words, code=2)
    assert list(tmp_path.rglob("*")) == []


# -- diff ----------------------------------------------------------------------------------


def test_an_override_is_a_difference(say: Say) -> None:
    text = say("diff", NAME, "runtime.context_length=512")
    (_, line) = text.splitlines()
    assert line.split() == ["runtime.context_length", "null", "512"]
    found = json.loads(say("diff", NAME, "quant=none", "--json"))
    rule = next(d for d in found if d["key"] == "quant.rules[0]")
    assert rule["left"]["scheme"] == "8da8w"
    assert "right" not in rule


def test_long_values_are_below_their_key(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = say("diff", NAME, "checkpoint.package=null", "runtime.context_length=512")
    assert max(map(len, text.splitlines())) <= 80
    assert '\ncheckpoint.package\n  {"name": ' in text
    assert "}\n  -> null\nruntime.context_length" in text
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, say("explain", "runtime.sampling.top_p").splitlines())) <= 60


def test_a_bundle_recipe_is_as_good(say: Say, tmp_path: Path) -> None:
    from llm_export.config.recipe_files import recipe_yaml

    file = tmp_path / "recipe.yaml"
    file.write_text(recipe_yaml(api.compose_recipe(NAME).recipe))
    assert say("diff", NAME, str(file)) == "no difference\n"
    assert "two recipes" in say("diff", NAME, code=2)


OVERRIDES = st.lists(
    st.sampled_from(
        ["quant=8da4w", "quant=none", "runtime.context_length=512", "verify=off",
         "backend=portable", "benchmark=off", "runtime.prefill_length=64", "quant.max_mean_kl=0.5"]
    ),
    max_size=4, unique_by=lambda word: word.split("=")[0],
)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(OVERRIDES, OVERRIDES)
def test_differences_are_mutual(left: list[str], right: list[str]) -> None:
    one, other = (api.compose_recipe(NAME, words).recipe for words in (left, right))
    there = [(d.key, d.left, d.right) for d in differences(one, other)]
    back = [(d.key, d.right, d.left) for d in differences(other, one)]
    assert sorted(there, key=lambda d: d[0]) == sorted(back, key=lambda d: d[0])
    if sorted(left) == sorted(right):
        assert there == []


# -- new -----------------------------------------------------------------------------------


def test_a_new_recipe_says_no_more_than_it_must(say: Say, tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    words = ["--model", "qwen3_0_6b", "--backend", "xnnpack", "--quant", "8da4w"]
    text = say("new", str(file), *words, "quant.group_size=64", "--description", "mine: small")
    assert f"llm-export run {shlex.quote(str(file))}" in text
    body = yaml.safe_load(file.read_text())
    assert set(body) == {"defaults", "description", "quant"}
    assert body["quant"] == {"group_size": 64}
    recipe = api.compose_recipe(str(file)).recipe
    assert (recipe.model.name, recipe.quant.group_size) == ("qwen3_0_6b", 64)
    assert recipe.quant.rules[0].group_size == 64
    assert "there is such a file already" in say("new", str(file), *words, code=2)


def test_a_checkpoint_stands_for_the_model(say: Say, tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    say("new", str(file), "--checkpoint", "ORG/NAME", "--backend", "coreml", "--quant", "4w")
    body = yaml.safe_load(file.read_text())
    assert body["checkpoint"] == {"hf_id": "ORG/NAME"}
    assert {"override model": "auto"} in body["defaults"]


def test_paths_are_relative_to_the_recipe(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the working directory was."""
    text = tmp_path / "texts" / "mine.txt"
    text.parent.mkdir()
    text.write_text("some words " * 500)
    monkeypatch.chdir(text.parent)
    words = ["--model", "tiny", "--backend", "portable", "--quant", "none", "verify.text=mine.txt"]
    file = tmp_path / "recipes" / "new.yaml"
    file.parent.mkdir()
    say("new", str(file), *words)
    assert yaml.safe_load(file.read_text())["verify"] == {"text": "../texts/mine.txt"}
    monkeypatch.chdir(tmp_path)
    named = api.compose_recipe(str(file)).recipe.verify.text
    assert named is not None
    assert Path(named).resolve() == text


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--backend", "xnnpack", "--quant", "8da8w"), "the recipe needs a model"),
        (("--model", "tiny", "--backend", "xnnpack", "--quant", "4w"), "xnnpack cannot run 4w"),
        (("--model", "tinny", "--backend", "xnnpack", "--quant", "8da8w"), "'tiny'"),
        (("--model", "tiny", "--backend", "xnnpack", "--quant", "8da8w", "quant.grup=1"), "grup"),
        (("--model", "tiny", "--backend", "xnnpack", "--quant", "8da8w", "out=x"), "command line"),
        (
            ("--model", "tiny", "--backend", "xnnpack", "--quant", "8da8w,8w"),
            "several options of quant",
        ),
    ],
)
def test_nothing_unsound_is_written(
    say: Say, tmp_path: Path, words: tuple[str, ...], hint: str
) -> None:
    assert hint in say("new", str(tmp_path / "new.yaml"), *words, code=2)
    assert list(tmp_path.iterdir()) == []


def test_it_asks_for_what_was_not_said(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["tiny", "xnnpack", "4w", "8da8w"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda prompt: next(answers))
    text = say("new", str(tmp_path / "new.yaml"))
    offered = text.split("quant:\n")[1].splitlines()
    names = [line.split()[0] for line in offered if line.startswith("  ")]
    assert "8da4w" in names
    assert "4w" not in names, "xnnpack does not run it"
    assert "there is no quant '4w'" in text
    recipe = api.compose_recipe(str(tmp_path / "new.yaml")).recipe
    assert (recipe.model.name, recipe.quant.name) == ("tiny", "8da8w")


def test_a_backend_that_this_machine_lacks_has_its_schemes_offered(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["none"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda prompt: next(answers))
    assert not BACKENDS.get("qnn").availability().ok
    say("new", str(tmp_path / "new.yaml"), "--model", "tiny", "--backend", "qnn")
    assert api.compose_recipe(str(tmp_path / "new.yaml")).recipe.quant.name == "none"


# -- schema --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    composer = Composer()
    made = recipe_schema({group: composer.options(group) for group in GROUPS})
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


def test_shipped_recipes_keep_the_schema(validator: jsonschema.Draft202012Validator) -> None:
    from llm_export.config.recipe_files import recipe_yaml

    for file in sorted((ROOT / "recipes").glob("*.yaml")):
        validator.validate(yaml.safe_load(file.read_text()))
    resolved = recipe_yaml(api.compose_recipe(NAME).recipe)
    validator.validate(yaml.safe_load(resolved))


@pytest.mark.parametrize("group", GROUPS)
def test_shipped_options_keep_theirs(group: str) -> None:
    made = jsonschema.Draft202012Validator(option_schema(group))
    for file in sorted((ROOT / "conf" / group).glob("*.yaml")):
        made.validate(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize(
    "text",
    ["quant: {grup_size: 3}", "quant: {group_size: many}", "runtime: {kv_cache: round}",
     "backnd: x", "verify: {positions: [1]}", "defaults: {a: b}"],
)  # fmt: skip
def test_mistakes_break_the_schema(validator: jsonschema.Draft202012Validator, text: str) -> None:
    assert not validator.is_valid(yaml.safe_load(text))


def test_references_and_nulls_keep_it(validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(yaml.safe_load('quant: {group_size: "${runtime.prefill_length}"}'))
    validator.validate(yaml.safe_load("quant: {group_size: null, auto: null}"))


def test_a_schema_file_says_how_it_is_used(say: Say, tmp_path: Path) -> None:
    file = tmp_path / "recipe.schema.json"
    assert f"# yaml-language-server: $schema={file}" in say("schema", str(file))
    assert json.loads(file.read_text())["title"] == "llm_export recipe"
    assert "ends in .json" in say("schema", "recipe.yaml", code=2)
    assert json.loads(say("schema", "backend"))["title"] == "llm_export backend option"


SHORT = ["runtime.context_length=256", "benchmark=off"]


def tiny_llama() -> dict[str, Any]:
    return family_settings("llama", next(iter(MEMBERS["llama"])))


# -- validate ------------------------------------------------------------------------------


def test_all_problems_come_at_once(say: Say, tmp_path: Path) -> None:
    """Of rules, of the model and of its checkpoint."""
    folder = hf_models.save(hf_models.build("llama", **tiny_llama()), tmp_path / "llama")
    own = json.loads((folder / "config.json").read_text())
    words = ["model=auto", f"checkpoint.path={folder}", "backend=xnnpack", *SHORT]
    sound = say("validate", *words)
    assert "checkpoint have a place" in sound
    wrong = [*words, "+model.config.num_hidden_layers=9", "quant=4w", "verify.window=99999"]
    text = say("validate", *wrong, code=2)
    assert f"number of layers is {own['num_hidden_layers']} there and 9" in text
    assert "xnnpack cannot run 4w" in text
    assert "exceeds the context" in text


def test_a_tensor_of_another_shape_is_seen_before_a_run(say: Say, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = hf_models.save(hf_models.build("llama", **tiny_llama()), tmp_path / "llama")
    (weights,) = folder.glob("*.safetensors")
    tensors = load_file(weights)
    name = next(n for n in tensors if n.endswith("q_proj.weight"))
    tensors[name] = tensors[name][:-1].contiguous()
    save_file(tensors, weights, metadata={"format": "pt"})
    words = ["validate", "model=auto", f"checkpoint.path={folder}", *SHORT]
    text = say(*words, code=2)
    assert f"'{name}' has shape" in text
    assert "sound" in say(*words, "--quick")


def test_what_the_hub_cache_has_is_looked_at_and_nothing_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    cached = tmp_path / "hub" / "models--org--tiny"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("1" * 40)
    folder = cached / "snapshots" / ("1" * 40)
    hf_models.save(hf_models.build("llama", **tiny_llama()), folder)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    words = ["model=auto", f"checkpoint.path={folder}", *SHORT]
    recipe = api.compose_recipe(None, words).recipe
    recipe = replace(recipe, checkpoint=CheckpointConfig(hf_id="org/tiny"))
    assert "checkpoint have a place" in api.validate_recipe(recipe).model
    (weights,) = folder.glob("*.safetensors")
    weights.unlink()
    assert "not here yet" in api.validate_recipe(recipe).model
    recipe = replace(recipe, checkpoint=CheckpointConfig(hf_id="org/other"))
    assert "not here yet" in api.validate_recipe(recipe).model


def test_memory_that_will_not_do_is_a_problem_of_the_machine(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_export.checks.preflight.available_memory", lambda: 10**8)
    text = say("validate", "model=tiny", "--quick", code=3)
    assert "of memory" in text
    assert "are free" in text
