"""Each command in the docs is run, or, where the page says why not, checked as far as can be."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hf_models
import lora_models
import pytest
from docs_commands import BLOCKS, MARK, PAGES, REPO, Block, builds_on_itself, is_light

from llm_export import api
from llm_export.checkpoints.cache import VARIABLE
from llm_export.checks.rules import find_problems
from llm_export.cli.main import main
from llm_export.cli.recipe_args import split_words
from llm_export.cli.verbs import VERBS
from llm_export.config.compose import Composer

Fill = Callable[[list[str]], list[str]]
LIGHT = [pytest.param(b, w, id=f"{b.place} {w[0]}") for b in BLOCKS for w in b.commands()
         if is_light(w) and not builds_on_itself(b)]  # fmt: skip
CHECKED = [pytest.param(b, w, id=f"{b.place} {w[0]}") for b in BLOCKS for w in b.commands()
           if b.reason is not None and not is_light(w)]  # fmt: skip


def to_run(page: Path) -> list[Block]:
    """Blocks of heavy commands that are typed as they stand, and of Python beside them."""
    typed = [b for b in BLOCKS if b.page == page and b.reason is None and not b.titled]
    heavy = [b for b in typed if any(not is_light(words) for words in b.commands())]
    return [b for b in typed if b in heavy or b.language == "python"] if heavy else []


def level(page: Path) -> pytest.MarkDecorator:
    """Each page exports a real model. A newcomer's first is held at each change."""
    return pytest.mark.slow if page.name == "first-model.md" else pytest.mark.release


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a reader would have: a model, an adapter, a recipe, a GGUF's place."""
    folder = tmp_path_factory.mktemp("own")
    base = hf_models.llama(num_hidden_layers=2, max_position_embeddings=8192)
    hf_models.save(base, folder / "model")
    lora_models.save_adapter(base, folder / "adapter")
    recipe = next(b for b in BLOCKS if b.titled and "MY_MODEL" in b.text and b.language == "yaml")
    text = recipe.text.replace("MY_MODEL", str(folder / "model"))
    (folder / "my_recipe.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def fill(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fill:
    """Words in capitals replaced by what ``own`` has; everything happens in a fresh folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    model, adapter = str(own / "model"), str(own / "adapter")
    names = {
        "MY_LORA": adapter, "ANOTHER_LORA_FOLDER": adapter, "LORA_FOLDER": adapter, "LORA": adapter,
        "MY_MODEL": model, "FOLDER_OR_FILE_OR_HUB_ID": model, "FOLDER_OR_FILE": model,
        "CHECKPOINT": model, "BASE": model, "FOLDER": model, "BUNDLE": "bundle",
        "RECIPE": "smollm2_135m_xnnpack_8da8w", "my_recipe.yaml": str(own / "my_recipe.yaml"),
    }  # fmt: skip
    pattern = re.compile(r"(?<![\w.])(" + "|".join(map(re.escape, names)) + r")(?!\w)")

    def filled(words: list[str]) -> list[str]:
        # What is on the hub comes from the folder, which is what would be fetched.
        words = [word.replace("checkpoint.hf_id=ORG/NAME", "checkpoint.path=FOLDER")
                 for word in words]  # fmt: skip
        return [pattern.sub(lambda found: names[found[1]], word) for word in words]

    return filled


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_is_outside_of_the_tests(page: Path) -> None:
    """Blocks with commands are bash; a mark stands right before a block and has a reason."""
    blocks = [b for b in BLOCKS if b.page == page]
    for block in blocks:
        if re.search(r"^(\$ )?llm-export ", block.text, re.MULTILINE):
            assert block.language in ("bash", "console"), block.place
    marks = re.findall(r"checked, not run", page.read_text(encoding="utf-8"))
    assert len(marks) == sum(b.reason is not None for b in blocks)


@pytest.mark.parametrize(("block", "words"), LIGHT)
def test_a_light_command(
    block: Block, words: list[str], fill: Fill, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(fill(words)) == 0, capsys.readouterr().err
    assert capsys.readouterr().out


@pytest.mark.parametrize(("block", "words"), CHECKED)
def test_a_command_that_is_not_run_is_sound(block: Block, words: list[str], fill: Fill) -> None:
    assert words[0] in VERBS, f"{block.place}: there is no verb '{words[0]}'"
    verb = importlib.import_module(f"llm_export.cli.{words[0]}")
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    verb.add_arguments(parser)
    options = parser.parse_intermixed_args(fill(words[1:]))
    if words[0] != "run":
        return
    source, overrides = split_words(options.words)
    if source is not None and ("recipe.lock" in source or source.count("/") == 1):
        return  # of a bundle, or of the library, which is not there
    if not options.multirun:
        recipes = [api.compose_recipe(source, overrides).recipe]
    else:
        made = Composer(source).variants(overrides)
        recipes = [variant.composed.recipe for variant in made if variant.composed]
    problems = [[p for p in find_problems(r) if not p.environment] for r in recipes]
    # Of a sweep the pairs that cannot be are refused, and the others run.
    assert [] in problems if options.multirun else problems == [[]], f"{block.place}: {problems}"


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=page.name, marks=level(page)) for page in PAGES if to_run(page)],
)
def test_the_commands_of_a_page(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the page's order, in one folder, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    for block in to_run(page):
        if block.language == "python":
            environment = {**os.environ, "PYTHONPATH": str(REPO)}
            done = subprocess.run(
                [sys.executable, "-c", block.text], env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{block.place}: {done.stderr}"
            continue
        for words in block.commands():
            assert main(words) == 0, f"{block.place}: {' '.join(words)}\n{capfd.readouterr().err}"


def test_a_mark_is_read() -> None:
    assert MARK.fullmatch("<!-- checked, not run: it is large -->")[1] == "it is large"  # type: ignore[index]
    assert MARK.fullmatch("<!-- checked, not run: -->") is None
