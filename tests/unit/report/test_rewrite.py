"""Writing the page of a finished bundle anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_files import write_bundle

from llm_export.api import report, report_markdown
from llm_export.cli.main import main
from llm_export.errors import BundleError, InputError
from llm_export.files import sha256_of
from llm_export.output.seal import foreign_part, write_seal


def test_the_manifest_lists_it_and_the_seal_holds(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", name="mine")
    write_seal(bundle)
    for _ in range(2):
        page = report(bundle)
        assert page == bundle / "report.html"
        listed = json.loads((bundle / "manifest.json").read_text())
        assert listed["roles"]["page"] == "report.html"
        assert listed["files"]["report.html"]["sha256"] == sha256_of(page)
        assert foreign_part(bundle) is None


def test_a_page_of_someone_else_is_kept(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", name="mine", empty=True)
    (bundle / "report.html").write_text("my thesis")
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="not as llm_export wrote it"):
        report(bundle)
    assert (bundle / "report.html").read_text() == "my thesis"
    assert (bundle / "manifest.json").read_bytes() == before
    (bundle / "report.html").unlink()
    report(bundle)
    (bundle / "report.html").unlink()
    (bundle / "report.html").mkdir()
    with pytest.raises(InputError, match="the page cannot be written: Is a directory"):
        report(bundle)
    elsewhere = tmp_path / "page.html"
    assert report(bundle, html=elsewhere) == elsewhere
    assert "Not here: " in elsewhere.read_text()


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_bundle(tmp_path / "b", name="mine")
    (bundle / "report.md").write_text("# mine\x1b[2J\n")
    assert main(["report", str(bundle)]) == 0
    assert capsys.readouterr().out == f"{bundle}/report.html\n"
    assert main(["report", str(bundle), "--md"]) == 0
    assert capsys.readouterr().out == "# mine[2J\n\n"
    assert main(["report", str(bundle), "--md", "--open"]) == 2
    assert main(["report", str(bundle), "--html", str(tmp_path / "no" / "a.html")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert main(["report", str(tmp_path)]) == 2
    assert "this is not a bundle" in capsys.readouterr().err


def test_a_bundle_without_markdown_says_so(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no report in Markdown"):
        report_markdown(write_bundle(tmp_path / "b", empty=True))


def test_without_a_browser_there_is_no_pdf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    bundle = write_bundle(tmp_path / "b")
    assert main(["report", str(bundle), "--pdf", str(tmp_path / "a.pdf")]) == 3
    assert "no Chromium is installed" in capsys.readouterr().err
    assert not (bundle / "report.html").exists()
