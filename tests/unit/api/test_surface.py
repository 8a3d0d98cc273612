"""What llm_export.api offers: a function for each verb, which the verb calls."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from llm_export import api
from llm_export.cli.main import VERBS

ROOT = Path(__file__).resolve().parents[3]
OTHER_NAMES = {"cache": ("cached_stages", "clear_cache")}
OTHER_CALLS = {
    "chat": ("answering", "runtime_errors"),
    **{name: (name, "runtime_errors") for name in ("embed", "transcribe", "translate")},
}
"""Verb -> (file, what it calls): the terminal shows the pieces of an answer by their kind, and the
runtime has verbs of its own."""


def functions_of(verb: str) -> tuple[str, ...]:
    return OTHER_NAMES.get(verb, (verb,))


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_a_function_and_calls_it(verb: str) -> None:
    file, other = OTHER_CALLS.get(verb, (verb, None))
    tree = ast.parse((ROOT / "llm_export" / "cli" / f"{file}.py").read_text())
    called = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "api"
    }
    for name in functions_of(verb):
        assert name in api.__all__
        assert (getattr(api, name).__doc__ or "").strip()
        assert (other or name) in called


def test_the_list_of_names_is_complete() -> None:
    missing = [name for name in api.__all__ if not hasattr(api, name)]
    assert missing == []
    own = {
        name
        for name, value in vars(api).items()
        if not name.startswith("_") and not isinstance(value, type(sys))
    }
    assert own == set(api.__all__)


def test_former_names_are_the_same_functions() -> None:
    for former, name in (
        ("compose_recipe", "compose"), ("check_recipe", "check"), ("predict_cost", "predict"),
        ("validate_recipe", "validate"), ("run_recipe", "run"), ("run_sweep", "sweep"),
        ("adapt_bundle", "adapt"),
    ):  # fmt: skip
        assert getattr(api, former) is getattr(api, name)


def test_importing_it_imports_no_torch() -> None:
    code = (
        "import sys\n"
        "from llm_export import api\n"
        "from llm_export.cli import bench, deploy, evaluate, profile\n"
        "from llm_export.compare import side\n"
        "from llm_export.sweep import state\n"
        "api.show('smollm2_135m_xnnpack_8da8w')\n"
        "api.ls()\n"
        "api.quantities()\n"
        "assert not {'torch', 'executorch', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
