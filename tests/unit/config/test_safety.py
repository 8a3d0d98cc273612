"""Recipes that a stranger wrote: each way out is refused in a few lines, and nothing is done."""

from __future__ import annotations

import contextlib
import os
import pickle
import string
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_export import api
from llm_export.checkpoints.open import open_checkpoint
from llm_export.config.compose import Composer
from llm_export.config.library import INDEX, ORIGIN
from llm_export.config.plain_yaml import MAX_BYTES, MAX_NODES, parse_plain
from llm_export.config.schema import CheckpointConfig
from llm_export.errors import CheckpointError, LlmExportError, RecipeError

HEAD = "defaults: [export_base, _self_]\n"


def refusal(folder: Path, text: str, overrides: list[str] | None = None) -> str:
    file = folder / "mine.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError) as caught:
        api.compose_recipe(str(file), overrides or [])
    said = str(caught.value)
    assert len(said.splitlines()) <= 3
    assert len(said) < 1000
    assert caught.value.where
    return said


# -- text ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("description: oc.env\nname: '${${description}:HOME}'", "resolvers"),
        ("name: '${ oc.env : HOME }'", "resolvers"),
        ("name: 'x${oc.decode:a}'", "resolvers"),
        ("name: '${oc.env:A'", "resolvers"),
        ("deploy: {questions: ['${oc.env:HOME}']}", "resolvers"),
        ("model: {config: {'_target_': x}}", "_target_"),
        ("a: !!python/object/apply:os.system [id]", "not valid YAML"),
        ("a: !!binary aGk=", "a bytes is not allowed"),
        ("a: 2020-01-01", "a date is not allowed"),
        ("a: 2020-99-99", "not valid YAML"),
        ("a: !!set {x, y}", "a set is not allowed"),
        ("1: x", "a key is not a word"),
        ("? [a, b]\n: x", "not valid YAML"),
        ("a: " + "9" * 5000, "a number has more than 64 characters"),
        ("a: 0x" + "f" * 60, "a whole number must fit 64 bits, one of them its sign"),
        ("a: 1" + ":59" * 20_000, "a number has more than 64 characters"),
        ("a: " + "[" * 100 + "]" * 100, "more than 64 levels"),
        ("a: " + "{b: " * 20_000, "more than 64 levels"),
        ("a: [" + "1," * (MAX_NODES + 1) + "]", "more than 20000 values"),
        ("a: " + "x" * MAX_BYTES, "larger than 1 MB"),
        ("a: &a [x]\nb: *a", "aliases are not allowed"),
    ],
)
def test_text_that_is_no_data_is_refused_at_once(tmp_path: Path, text: str, what: str) -> None:
    begun = time.monotonic()
    assert what in refusal(tmp_path, text)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    "entry", ["../outside", "..\\outside", "{override model: ../../x}", "file:///tmp/x"]
)
def test_defaults_do_not_climb_out_of_the_search_path(tmp_path: Path, entry: str) -> None:
    (tmp_path / "outside.yaml").write_text("description: from outside\n")
    folder = tmp_path / "inside"
    folder.mkdir()
    said = refusal(folder, f"defaults: [export_base, {entry}, _self_]")
    assert "defaults name options, not paths" in said


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("quant.name=${oc.env:HOME}", "resolvers"),
        ("model=${oc.env:HOME}", "resolvers"),
        ("quant.name='${${quant.name}:HOME}'", "resolvers"),
        ("+quant.x={_target_: os.system}", "'_target_'"),
        ("deploy.questions=[" + "[" * 1001, "more than 1000 brackets"),
        ("name=" + "x" * 20_001, "more than 20000 characters"),
    ],
)
def test_the_same_holds_for_overrides(override: str, what: str) -> None:
    for attempt in (api.compose_recipe, Composer().variants):
        with pytest.raises(RecipeError, match=what) as caught:
            attempt(None, [override]) if attempt is api.compose_recipe else attempt([override])  # type: ignore[arg-type]
        assert os.environ["HOME"] not in str(caught.value)
        assert len(str(caught.value)) < 600


def test_plain_references_still_work() -> None:
    recipe = api.compose_recipe(None, ["description='${model.name} on ${ backend.name }'"]).recipe
    assert recipe.description == "tiny on portable"


# -- paths ---------------------------------------------------------------------------------

PATHS = [
    ("checkpoint: {path: %s}", "checkpoint.path"),
    ("checkpoint: {config_path: %s}", "checkpoint.config_path"),
    ("checkpoint: {adapter: %s}", "checkpoint.adapter"),
    ("verify: {text: %s}", "verify.text"),
    ("train: {text: %s}", "train.text"),
    ("quant: {calibration: {text: %s}}", "quant.calibration.text"),
    ("quant: {calibration: {dataset: %s}}", "quant.calibration.dataset"),
]
ELSEWHERE = ["/etc/passwd", "../x", "a/../../x", "~/x", "~root/x", "'C:\\x'", "'..\\x'",
             "'\\\\h\\x'", "'${description}'", "'$HOME/x'", "[x]", "''", '"a\\0b"']  # fmt: skip


@pytest.mark.parametrize("mark", [INDEX, ORIGIN])
@pytest.mark.parametrize(("key", "name"), PATHS)
def test_a_recipe_of_someone_else_stays_in_its_folder(
    tmp_path: Path, mark: str, key: str, name: str
) -> None:
    (tmp_path / mark).write_text("{}")
    for value in ELSEWHERE:
        said = refusal(tmp_path, HEAD + "description: /etc/passwd\n" + key % value)
        assert "a path in a recipe of someone else" in said, value
        assert name in said
        assert "on the command line" in said


def test_a_link_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / ORIGIN).write_text("{}")
    (tmp_path / "text.txt").symlink_to("/etc/passwd")
    assert "through a link" in refusal(tmp_path, HEAD + "verify: {text: text.txt}")


def test_a_recipe_behind_a_link_is_someone_elses_at_both_ends(tmp_path: Path) -> None:
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    for folder in (theirs, mine):
        folder.mkdir()
    (theirs / ORIGIN).write_text("{}")
    text = HEAD + "verify: {text: /etc/passwd}"
    (theirs / "a.yaml").write_text(text)
    (mine / "b.yaml").write_text(text)
    (mine / "a.yaml").symlink_to(theirs / "a.yaml")
    (theirs / "b.yaml").symlink_to(mine / "b.yaml")
    for file in (mine / "a.yaml", theirs / "b.yaml"):
        with pytest.raises(RecipeError, match="leaves the recipe's folder"):
            api.compose_recipe(str(file))


def test_a_relative_path_begins_at_the_recipe_of_someone_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    monkeypatch.chdir(tmp_path)
    file = theirs / "r.yaml"
    file.write_text(HEAD + "verify: {text: texts/a.txt}")
    assert api.compose_recipe(str(file)).recipe.verify.text == "texts/a.txt"
    (theirs / ORIGIN).write_text("{}")
    here = api.compose_recipe("theirs/r.yaml").recipe.verify.text
    assert here == str((theirs / "texts/a.txt").resolve())
    mine = api.compose_recipe(str(file), ["verify.text=/my/own.txt"]).recipe
    assert mine.verify.text == "/my/own.txt"


def test_the_library_is_someone_elses_without_a_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = tmp_path / "llm_export" / "recipes" / "a" / "b"
    folder.mkdir(parents=True)
    said = refusal(folder, HEAD + "verify: {text: /etc/passwd}")
    assert "leaves the recipe's folder" in said


def test_options_beside_a_recipe_of_someone_else_are_not_found(tmp_path: Path) -> None:
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "theirs.yaml").write_text("name: theirs\n")
    (tmp_path / "more.yaml").write_text("checkpoint: {path: /etc}\n")
    (tmp_path / "mine.yaml").write_text(
        "defaults: [export_base, {override runtime: theirs}, _self_]\n"
    )
    assert api.compose_recipe(str(tmp_path / "mine.yaml")).recipe.runtime.name == "theirs"
    (tmp_path / ORIGIN).write_text("{}")
    assert "there is no runtime 'theirs'" in refusal(
        tmp_path, "defaults: [export_base, {override runtime: theirs}, _self_]\n"
    )
    for entry in ("more", "{hydra/launcher: joblib}", "{'runtime@verify': npu}", "[x]", "{x: y}"):
        said = refusal(tmp_path, f"defaults: [export_base, {entry}, _self_]")
        assert "shipped options only" in said, entry


def test_backend_options_name_no_path_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / ORIGIN).write_text("{}")
    text = HEAD + "backend: {options: {deep: [{config: /etc/x}]}}"
    assert "backend.options.deep[0].config" in refusal(tmp_path, text)


# -- weights -------------------------------------------------------------------------------


class _Code:
    """Unpickled, it makes a folder."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.made),)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth"])
@pytest.mark.parametrize("archive", [True, False])
def test_a_pickle_with_code_is_refused_in_one_line(
    tmp_path: Path, name: str, archive: bool
) -> None:
    made = tmp_path / "made"
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "params.json").write_text("{}")
    if archive:
        torch.save({"x": torch.ones(1), "code": _Code(made)}, folder / name)
    else:
        (folder / name).write_bytes(pickle.dumps({"x": _Code(made)}))
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(CheckpointConfig(path=str(folder)), {}).tensors()
    assert not made.exists()
    assert len(caught.value.what.splitlines()) == 1
    assert "safe torch file" in caught.value.what
    assert caught.value.where is not None
    assert "weights_only=True" in str(caught.value.fix)


# -- anything ------------------------------------------------------------------------------

words = st.text(alphabet=string.ascii_lowercase + "_.${}:/~ \x1b", max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=12,
)
keys = st.sampled_from(
    ["defaults", "model", "quant", "backend", "runtime", "verify", "checkpoint", "name", "format",
     "recipe", "description", "train", "benchmark", "deploy", "out", "hydra"]
)  # fmt: skip


@settings(deadline=None, max_examples=8, suppress_health_check=list(HealthCheck))
@given(body=st.dictionaries(keys | words, values, max_size=4))
def test_any_mapping_composes_or_fails_cleanly(
    tmp_path_factory: pytest.TempPathFactory, body: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    file = folder / "any.yaml"
    file.write_text(yaml.safe_dump(body, allow_unicode=True))
    for mark in (None, ORIGIN):
        if mark:
            (folder / mark).write_text("{}")
        with contextlib.suppress(LlmExportError):
            api.compose_recipe(str(file))
    assert {p.name for p in folder.iterdir()} == {"any.yaml", ORIGIN}


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60) | st.text(alphabet="[]{}:,-?!&*|>'\"%@#~ \n\tab01<=", max_size=40))
def test_any_text_is_data_or_refused(text: bytes | str) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    with contextlib.suppress(RecipeError):
        assert isinstance(parse_plain(data, "it"), dict)


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(["name", "quant", "quant.rules", "+x", "~model", "deploy.questions", ""]),
       st.text(alphabet="${}[]()<>:,'\"\\=ab01. \x00\n", max_size=24))  # fmt: skip
def test_any_override_composes_or_fails_cleanly(key: str, value: str) -> None:
    with contextlib.suppress(LlmExportError):
        api.compose_recipe(None, [f"{key}={value}"])
