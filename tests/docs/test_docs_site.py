"""The reference has what the code has, and the site builds without a warning."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs_tools import reference
from llm_export.cli.verbs import VERBS
from llm_export.config.compose import Composer
from llm_export.config.reference import describe_group
from llm_export.config.schema import GROUPS

REPO = Path(__file__).parents[2]


def test_every_key_is_there_with_what_the_schema_says() -> None:
    page = reference.keys()
    for group in reference.KEYED:
        for key, _, _ in describe_group(group):
            assert f"| `{group}.{key}` |" in page
    assert "| `runtime.prefill_length` | int or null |" in page
    assert "it maps config keys and tensor names" in page


def test_every_option_and_verb_is_there() -> None:
    options, verbs = reference.options(), reference.cli()
    for group in GROUPS:
        for name in Composer().options(group):
            assert f"| `{name}` |" in options
    for verb, text in VERBS.items():
        assert f"## {verb}\n" in verbs
        assert text in verbs
    assert "--no-limits" in verbs
    assert max(map(len, re.findall(r"^usage: .*$", verbs, re.MULTILINE))) <= 80


def test_functions_and_classes_are_there_with_their_docstrings() -> None:
    page = reference.python()
    for name in (
        "api.compose",
        "api.sweep",
        "api.StageResult",
        "LLM.load",
        "LLM.chat",
        "runtime_py.Stats",
    ):
        assert re.search(rf"^#+ {re.escape(name)}$", page, re.MULTILINE)
    assert "**Raises**" in page
    assert "- `BundleRuntimeError`: it is damaged" in page
    assert "None = None) -> Composed" in page


@pytest.mark.slow
def test_the_site_builds(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="make test installs it with the extra 'docs'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=REPO, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pages = {str(f.relative_to(tmp_path / "site")) for f in (tmp_path / "site").rglob("*.html")}
    sources = {f"{f.stem}.html" for f in (REPO / "docs").glob("*.md")}
    assert pages >= sources | {name.replace(".md", ".html") for name in reference.PAGES}
    html = (tmp_path / "site" / "write-a-family.html").read_text(encoding="utf-8")
    assert "Olmo2ForCausalLM" in html  # the file itself, and not a copy of it
    fetched = r'(?:src|href)="https?://[^"]*\.(?:js|css|woff2?)"'
    assert not re.search(fetched, html), "the site needs nothing from elsewhere"
