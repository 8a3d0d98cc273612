"""A plugin adds a task: its programs go through the stages, with its own proof."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from plugin_tools import Environment

PLUGIN = Path(__file__).parents[1] / "task_plugin"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    home = tmp_path_factory.mktemp("task_plugin")
    (home / "site").mkdir()
    shutil.copytree(PLUGIN, home / ".config/llm_export")
    return Environment(home / "site", home)


def test_a_bundle_of_it_is_proven_and_verbs_of_language_models_refuse_it(
    run: Environment, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    done = run("run", "classify", f"out={made}", "model.task_options.scale=2.0")
    assert "numerically faithful   yes" in done.stdout
    assert "largest difference of a score" in done.stdout
    assert "try it: classify" in done.stdout
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["task"] == {"name": "classify", "settings": {"labels": 3}}
    assert manifest["proof"]["verified"]
    assert "labels [" in (made / "report.md").read_text()
    page = (made / "report.html").read_text()
    assert "largest loss of a score" in page
    assert "Chat template in apps" not in page

    assert "methods forward" in run("verify", str(made)).stdout
    measured = json.loads(run("bench", str(made), "--json").stdout)
    assert [each["name"] for each in measured["measures"]] == ["calls"]
    assert run("profile", str(made), "--tokens", "5").stdout.startswith("forward: ")
    for words, what, fix in (
        (("evaluate", str(made)), "this bundle is for classify", "report"),
        (("bench", str(made), "--depth", "3"), "of bundles for classify has no depth", "threads"),
        (("chat", str(made), "--message", "x"), "is for the task 'classify'", "the plugin"),
    ):
        done = run(*words)
        assert done.returncode == 2, done.stderr
        assert what in done.stderr
        assert fix in done.stderr


def test_a_limit_of_the_recipe_fails_it(run: Environment, tmp_path: Path) -> None:
    done = run("run", "classify", f"out={tmp_path / 'made'}", "verify.limits.score_error=-1")
    assert done.returncode == 1
    assert "the program is not right: largest difference of a score" in done.stderr
    assert "at most -1" in done.stderr
    assert not (tmp_path / "made").exists()


MISTAKES = [
    ("model.task_options.scal=2", "no option 'scal'", "did you mean 'scale'?"),
    ("model.task=embed", "models of the family 'bag_of_words' classify", "model.task=classify"),
    ("model.task=clasify", "no task 'clasify'", "classify"),
    ("verify.limits.score_eror=1", "does not measure 'score_eror'", "did you mean 'score_error'?"),
    ("train=qat", "no training here", "train=off"),
    ("runtime.kv_cache=ring", "no cache of another kind", "runtime.kv_cache=static"),
]


@pytest.mark.parametrize(("word", "what", "fix"), MISTAKES)
def test_mistakes(run: Environment, word: str, what: str, fix: str) -> None:
    done = run("validate", "classify", word)
    assert done.returncode == 2
    assert what in done.stderr + done.stdout
    assert fix in done.stderr + done.stdout
