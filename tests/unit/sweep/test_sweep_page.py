"""The page of a sweep, from its rows and from sweep.json."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from report_files import ATTACK

from llm_export.errors import InputError
from llm_export.report.page.assets import without_scripts
from llm_export.sweep.page import sweep_page
from llm_export.sweep.rewrite import page_of, rewrite
from llm_export.sweep.state import DONE, REFUSED, Failure, Results, Row, SweepCommand, SweepFolder


def made(name: str, folder: Path, size: float, loss: float, decode: float) -> Row:
    found = Results(size, 10 * decode, decode, "good", values={"mean_kl": loss})
    return Row(name, [], {"quant": name}, str(folder / name), DONE, 10.0, results=found)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    folder = tmp_path / "a sweep"
    refused = Failure(ATTACK, "", 2, "")
    rows = [
        made("small", folder, 90.0, 0.1, 60.0),
        made("good #1", folder, 140.0, 0.01, 50.0),
        made("worse", folder, 150.0, 0.02, 40.0),
        Row(ATTACK, [], {"quant": ATTACK}, "x", REFUSED, error=refused),
    ]
    for row in rows[:2]:
        Path(row.bundle).mkdir(parents=True)
        (Path(row.bundle) / "report.html").write_text("")
    held = SweepFolder(folder)
    page = sweep_page(folder, rows, state="failed", together=False)
    held.write(rows, SweepCommand(None, (), "local"), "failed", "text", page)
    held.release()
    return folder


def test_a_table_with_links_and_the_data_of_the_chart(sweep: Path) -> None:
    page = (sweep / "report.html").read_text()
    assert "3 of 4 variants are done, 1 refused." in page
    assert re.findall(r'href="([^"#]+)"', page) == ["good%20%231/report.html", "small/report.html"]
    lines = re.findall(r"<tr data-name=\"([^\"]+)\">\s*<td data-value=\"(\d)\">", page)
    assert [(name, mark) for name, mark in lines[:3]] == [
        ("good #1", "0"), ("worse", "1"), ("small", "0"),
    ]  # fmt: skip
    assert ATTACK not in page
    assert page.count("<script") == 3
    (block,) = re.findall(r'id="data">(.*?)</script>', page)
    data = json.loads(block)
    assert [axis["title"] for axis in data["axes"]] == ["mean KL (nats)", "size (MB)",
                                                        "decode (tokens/s)"]  # fmt: skip
    assert data["points"][0]["values"] == [0.01, 140.0, 50.0]
    assert len(page) < 600_000


def test_it_is_written_anew_from_its_state_and_where_it_was_moved(sweep: Path) -> None:
    before = (sweep / "report.html").read_text()
    assert rewrite(sweep).read_text() == before
    moved = shutil.move(sweep, sweep.with_name("moved"))
    assert 'href="small/report.html"' in page_of(Path(moved))
    elsewhere = page_of(Path(moved), Path(moved).parent)
    assert 'href="moved/small/report.html"' in elsewhere


def test_what_is_no_sweep_is_refused(sweep: Path) -> None:
    (sweep / "sweep.json").write_text('{"variants": [{"name": 1}], "launcher": "local"}')
    with pytest.raises(InputError, match="the sweep's state cannot be read"):
        rewrite(sweep)
    (sweep / "sweep.json").unlink()
    (sweep / "sweep.md").unlink()
    with pytest.raises(InputError, match=r"holds a report.html that is not a sweep's"):
        SweepFolder(sweep)


def test_a_sweep_without_results_has_a_page(tmp_path: Path) -> None:
    row = Row("a", [], {}, "nowhere")
    lost = made("lost", tmp_path, 1.0, float("nan"), float("inf"))
    sound = made("sound", tmp_path, 1.0, 0.1, 1.0)
    said = without_scripts(sweep_page(tmp_path, [lost, sound], state="done", together=False))
    assert "NaN" not in said, "JSON has no such number"
    assert said.count('<span class="front-mark"') == 1
    page = sweep_page(tmp_path, [row, replace(row, name="b")], state="running", together=True)
    assert "0 of 2 variants are done, 2 waiting." in page
    assert "Report of a sweep · running" in page
