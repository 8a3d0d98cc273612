"""What ``validate`` says of a checkpoint's tokenizer, chat template and texts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hf_models
import pytest

from llm_export import api
from llm_export.checks.checkpoint_text import tokenizer_facts
from llm_export.config.schema import CheckpointConfig, Recipe, VerifyConfig
from llm_export.predict.calibration import calibrates
from llm_export.resolve.recipe import resolve

Change = Callable[[Path], object]
RECIPE = Recipe(verify=VerifyConfig(window=64, prefill=16, positions=100))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hf_models.save(hf_models.llama(), tmp_path_factory.mktemp("checkpoint") / "llama")


def facts_of(sound: Path, folder: Path, change: Change, **keys: Any) -> tuple[list[str], list[str]]:
    shutil.copytree(sound, folder)
    change(folder)
    recipe = replace(RECIPE, checkpoint=CheckpointConfig(path=str(folder)), **keys)
    problems, notes = tokenizer_facts(recipe, 320)
    return [str(p) for p in problems], notes


def template(text: str | list[dict[str, str]] | None) -> Change:
    def change(folder: Path) -> None:
        file = folder / "tokenizer_config.json"
        settings = json.loads(file.read_text())
        settings.pop("chat_template")
        file.write_text(json.dumps(settings | ({"chat_template": text} if text else {})))

    return change


def tokenizer(**parts: Any) -> Change:
    def change(folder: Path) -> None:
        file = folder / "tokenizer.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | parts))

    return change


_SYSTEM_FIRST = "{% if messages[0].role != 'system' %}{{ raise_exception('no') }}{% endif %}hi"
_SYSTEM_LAST = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}hi"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer.json"),
        (tokenizer(normalizer={"type": "NFKC"}), "Unsupported Normalizer type: NFKC"),
    ],
)  # fmt: skip
def test_what_a_run_would_refuse(change: Change, words: str, sound: Path, tmp_path: Path) -> None:
    problems, _ = facts_of(sound, tmp_path / "m", change)
    assert len(problems) == 1
    assert words in problems[0]
    assert "fix:" in problems[0]


def test_a_tokenizer_that_encodes_nothing_is_refused_before_calibration(
    sound: Path, tmp_path: Path
) -> None:
    quant = resolve(api.compose_recipe(None, ["model=tiny", "quant=8da8w"]).recipe).recipe.quant
    assert calibrates(replace(RECIPE, quant=quant))
    words = tokenizer(model={"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "b"})
    problems, _ = facts_of(sound, tmp_path / "m", words, quant=quant)
    assert len(problems) == 1
    assert "fix:" in problems[0]


@pytest.mark.parametrize(
    ("change", "notes"),
    [
        (lambda f: None, []),
        (template(None), ["chat template: none; questions are continued as plain text"]),
        (template(_SYSTEM_LAST), ["chat template: renders; it refuses a system message"]),
        (
            template(_SYSTEM_FIRST),
            ["chat template: renders; it refuses a conversation without a system message"],
        ),
    ],
)
def test_a_chat_template(change: Change, notes: list[str], sound: Path, tmp_path: Path) -> None:
    assert facts_of(sound, tmp_path / "m", change) == ([], notes)


@pytest.mark.parametrize("text", ["{% if %}", "{{ 1 / 0 }}", "{{ raise_exception('never') }}"])
def test_a_template_that_fails_is_no_obstacle(text: str, sound: Path, tmp_path: Path) -> None:
    """A run keeps the bundle, with its questions unanswered."""
    problems, (note,) = facts_of(sound, tmp_path / "m", template(text))
    assert problems == []
    assert note.startswith("chat template: unusable, so questions stay unanswered: the chat temp")
    assert "\n" not in note


def test_a_broken_template_for_tools_refuses_tools(sound: Path, tmp_path: Path) -> None:
    both = [{"name": "default", "template": "hi"}, {"name": "tool_use", "template": "{% if %}"}]
    notes = facts_of(sound, tmp_path / "m", template(both))
    assert notes == ([], ["chat template: renders; it refuses tools"])


def test_ids_outside_the_vocabulary_and_a_text_that_is_too_short(
    sound: Path, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, checkpoint=CheckpointConfig(path=str(sound)))
    (problem,), _ = tokenizer_facts(recipe, 300)
    assert "is outside the vocabulary of 300" in problem.what
    text = tmp_path / "short.txt"
    text.write_text("Too short.")
    short = replace(recipe, verify=replace(recipe.verify, text=str(text)))
    (problem,), _ = tokenizer_facts(short, 320)
    assert "window" in problem.what


def test_what_a_bundle_changes(sound: Path, tmp_path: Path) -> None:
    shown = "{% for m in messages %}{{ m.content }}<unused7>{% endfor %}"

    def change(folder: Path) -> None:
        template(shown)(folder)
        added = {"content": "<unused7>", "special": True}
        place = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]["<unused7>"]
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        settings["added_tokens_decoder"] = {str(place): added}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))

    _, (note,) = facts_of(sound, tmp_path / "m", change)
    assert "an answer ends with '<unused7>'" in note


def test_a_vocabulary_that_the_config_leaves_to_the_library(tmp_path: Path) -> None:
    model = hf_models.build("gpt2", n_embd=32, n_layer=1, n_head=2, n_positions=64)
    folder = hf_models.save(model, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    config.pop("vocab_size", None)
    (folder / "config.json").write_text(json.dumps(config))
    found = api.validate(
        None, ["model=auto", f"checkpoint.path={folder}", "runtime.context_length=64"]
    )
    assert any("49937 of the 50257 rows" in note for note in found.notes)


def test_validate_reports_them(sound: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sound, tmp_path / "m")
    (folder / "tokenizer.json").unlink()
    words = ["model=auto", f"checkpoint.path={folder}"]
    assert any("tokenizer" in str(p) for p in api.validate(None, words).problems)
    assert api.validate(None, words, build=False).problems == []
