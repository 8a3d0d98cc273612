"""The reference has what the code has, and the site builds without a warning."""

from __future__ import annotations

import json
import os
import re
import shutil
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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="make test installs it with the extra 'docs'")
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=REPO, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_site_has_every_page(site: Path) -> None:
    pages = {str(f.relative_to(site)) for f in site.rglob("*.html")}
    sources = {f"{f.stem}.html" for f in (REPO / "docs").glob("*.md")}
    assert pages >= sources | {name.replace(".md", ".html") for name in reference.PAGES}
    html = (site / "write-a-family.html").read_text(encoding="utf-8")
    assert "Olmo2ForCausalLM" in html  # the file itself, and not a copy of it


@pytest.mark.slow
def test_the_site_loads_nothing_from_another_host(site: Path) -> None:
    outside = {
        (file.name, url)
        for file in [*site.rglob("*.html"), *site.rglob("*.css"), *site.rglob("*.svg")]
        for url in loads(file.read_text(encoding="utf-8"))
        if url.startswith(("http:", "https:", "//"))
    }
    assert outside == set()
    missing = {
        (page.name, url)
        for page in site.glob("*.html")
        if page.name != "404.html"  # of a server: its paths are absolute
        for url in loads(page.read_text(encoding="utf-8"))
        if not url.startswith("data:") and not (page.parent / url.split("?")[0]).is_file()
    }
    assert missing == set()


def loads(text: str) -> list[str]:
    """What a browser fetches with a page, a style sheet or a picture: links to click are not."""
    tags = re.findall(r"<(?:script|link|img|iframe|source|object|image|use)\b[^>]*>", text)
    named = re.findall(r"\b(?:src|href|data|srcset)=[\"']?([^\"'\s>]+)", " ".join(tags))
    return named + re.findall(r"""(?:url\(|@import\s+)["']?([^"')\s#][^"')\s]*)""", text)


def test_what_a_page_loads_is_found() -> None:
    page = '<a href="https://a"><script src="https://b/c"></script><link rel=icon href=d.png>'
    assert loads(page) == ["https://b/c", "d.png"]
    assert loads("@font-face { src: url('https://e/f.woff2') }") == ["https://e/f.woff2"]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "word"), [("index", "perplexity"), ("reference/keys", "gptq")])
def test_the_search_works_from_a_folder(site: Path, tmp_path: Path, page: str, word: str) -> None:
    """In a browser without a network: it finds a word, and the page asks no host for anything."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs Chromium")
    log = tmp_path / "net.json"
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}",
         "--host-resolver-rules=MAP * ~NOTFOUND", f"--log-net-log={log}",
         "--virtual-time-budget=20000", "--dump-dom", f"{(site / page).as_uri()}.html?q={word}"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert re.search(r'md-search-result__meta">\d+ matching document', done.stdout), done.stderr
    assert f"<mark>{word}" in done.stdout.lower()
    assert asked_for(log) == set()


def asked_for(log: Path) -> set[str]:
    """What pages requested of hosts, by a net log. The browser's own requests have no origin."""
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    started = [event.get("params", {}) for event in events]
    return {
        asked["url"] for asked in started
        if asked.get("url", "").startswith("http")
        and asked.get("initiator", "not an origin") != "not an origin"
    }  # fmt: skip
