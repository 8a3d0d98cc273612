"""Pages in a browser: every chart is drawn, answers to mouse and keys, and no script fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import DESKTOP, PHONE, Page, browser, needs_chromium
from report_files import manifest, write_bundle

from llm_export.report.page.evidence import read_evidence
from llm_export.report.page.run import run_page
from llm_export.report.pdf import write_pdf
from llm_export.sweep.page import sweep_page
from llm_export.sweep.state import DONE, Results, Row

pytestmark = needs_chromium

_CELLS = "[...document.querySelectorAll('#icicle .cells button')]"
_TOLD = "document.querySelector('#icicle .told').textContent"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_bundle(tmp_path_factory.mktemp("run"))
    page = folder / "report.html"
    page.write_text(run_page(read_evidence(folder, manifest(), None)))
    return page


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    rows = [
        Row(name, [], {"quant": name}, str(folder / name), DONE, 1.0, results=Results(
            size, 9.0, decode, "good", first_token=0.1, memory=10**8, values={"mean_kl": loss}))
        for name, size, loss, decode in (("a", 90.0, 0.1, 60.0), ("b", 140.0, 0.01, 9.0),
                                         ("c", 150.0, 0.02, 40.0), ("d", 540.0, 1e-11, 19.0))
    ]  # fmt: skip
    page = folder / "report.html"
    page.write_text(sweep_page(folder, rows, state="done", together=False))
    return page


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with browser() as page:
        yield page


def widest(tab: Page) -> int:
    return int(tab.run("document.documentElement.scrollWidth"))


def test_every_section_is_reached_without_swiping(tab: Page, run: Path) -> None:
    last = "document.querySelector('nav a:last-child').getBoundingClientRect().right"
    tab.show(run, DESKTOP)
    assert tab.run(f"{last} <= innerWidth")
    tab.show(run, PHONE)
    assert tab.run(f"{last} > innerWidth"), "one row, which a finger moves"


def test_a_run_by_mouse_and_keys(tab: Page, run: Path) -> None:
    tab.show(run, DESKTOP)
    assert tab.run("window.attacked") is None
    assert tab.run("document.querySelectorAll('#spreads circle').length") == 18
    assert tab.run("document.querySelectorAll('#series polyline').length") == 1
    assert tab.run(f"{_CELLS}[0].textContent") == "model"
    tab.click(f"{_CELLS}.find(c => c.textContent === 'feed_forward')")
    assert tab.run(f"{_CELLS}.length") == 3
    assert tab.run("[...document.querySelectorAll('.crumbs button')].map(b => b.textContent)") == [
        "model", "layers", "all 3", "feed_forward",
    ]  # fmt: skip
    assert tab.run(_TOLD).startswith("layers › all 3 › feed_forward: 6.000 ms")
    tab.press("Escape")
    assert tab.run(f"{_CELLS}[0].textContent") == "all 3"
    tab.press("ArrowDown")
    assert tab.run("document.activeElement.textContent") == "attention"
    tab.press("ArrowRight")
    tab.press("Enter")
    assert tab.run(f"{_CELLS}[0].textContent") == "feed_forward"
    tab.click("[...document.querySelectorAll('#icicle .choice button')].at(-1)")
    tab.click("[...document.querySelectorAll('#icicle .choice button')]"
              ".find(b => b.textContent === 'bytes')")  # fmt: skip
    assert " kB" in tab.run(_TOLD)
    assert tab.run("document.querySelectorAll('.crumbs button').length") == 2, "layers, unfolded"
    assert tab.errors == []


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_no_script_fails_and_nothing_is_wider_than_the_screen(
    tab: Page, run: Path, sweep: Path, size: tuple[int, int], dark: bool
) -> None:
    for page in (run, sweep):
        tab.show(page, size, dark=dark)
        assert widest(tab) == size[0]
        paper = tab.run("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") != dark
    assert tab.errors == []


@pytest.mark.slow
def test_a_sweep_is_sorted_and_its_dots_tell(tab: Page, sweep: Path) -> None:
    tab.show(sweep, DESKTOP)
    names = "[...document.querySelectorAll('tbody tr')].map(r => r.dataset.name).join('')"
    head = "[...document.querySelectorAll('thead th')].find(h => h.textContent === 'decode')"
    assert tab.run(names) == "dbca"
    tab.click(f"{head}.firstChild")
    assert (tab.run(names), tab.run(f"{head}.ariaSort")) == ("bdca", "ascending")
    tab.press("Enter")  # on the button that has the focus
    assert (tab.run(names), tab.run(f"{head}.ariaSort")) == ("acdb", "descending")
    assert tab.run("document.querySelectorAll('.dot.front').length") == 3
    tab.run("document.querySelectorAll('.dot')[1].focus()")
    assert tab.run("document.querySelector('.told').textContent").startswith("b ◆ on the front:")
    tab.run("(() => { const s = document.querySelectorAll('select')[1]; s.value = "
            "[...s.options].find(o => o.text.startsWith('decode')).value; "
            "s.dispatchEvent(new Event('change')); })()")  # fmt: skip
    assert tab.run("document.querySelectorAll('.dot.front').length") == 1
    assert tab.errors == []


@pytest.mark.slow
def test_without_scripts_the_tables_are_there(tab: Page, run: Path) -> None:
    tab.show(run, DESKTOP, scripts=False)
    shown = (
        "[document.getElementById('module-table').open, "
        "document.getElementById('icicle').hidden, document.querySelectorAll('table').length > 8]"
    )
    assert tab.run(shown) == [True, True, True]


@pytest.mark.slow
def test_a_page_is_printed(run: Path, tmp_path: Path) -> None:
    write_pdf(run, tmp_path / "a.pdf")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
