"""The page of quality, its chart and the package's evidence are of the figures that are kept."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from benchmarks import (
    kept,
    kl_chart,
    quality_page,
    quality_rivals,
    quality_rows,
    quality_table,
)
from benchmarks.quality_rivals import RIVALS
from llm_export.config.compose import Composer
from llm_export.quant.alternatives import measured

DATA = kept.read(quality_page.DATA)


def test_files_are_as_they_would_be_made() -> None:
    """Else: python benchmarks/quality_table.py --rows"""
    for file, text in quality_page.made(DATA).items():
        assert file.read_text(encoding="utf-8") == text, file.name


def test_every_kept_row_is_on_the_page() -> None:
    text = quality_page.page(DATA)
    for row in [*DATA["rows"], *DATA["rivals"]]:
        name = f"`{row['label']}`" if "backend" in row else f"*{row['name']}*"
        assert f"| {name} | {row['bytes'] / 1e6:.1f} |" in text


def test_the_package_has_the_shipped_options_of_the_page() -> None:
    shipped = [row for row in DATA["rows"] if row["option"]]
    assert [(e.backend, e.quant) for e in measured().rows] == [
        (row["backend"], row["option"]) for row in shipped
    ]
    assert measured().row("8da8w", ["xnnpack"]) is not None
    assert measured().row("8da8w", ["coreml"]) is None


def test_a_row_replaces_that_of_its_name_and_no_other() -> None:
    rows: list[kept.Row] = [{"name": "old"}, {"name": "b", "of": 1}]
    assert kept.replaced(rows, {"name": "a"}, ["a", "b"]) == [
        {"name": "a"}, {"name": "b", "of": 1}, {"name": "old"}
    ]  # fmt: skip
    assert kept.replaced(rows, {"name": "b", "of": 2}, ["a", "b"])[0] == {"name": "b", "of": 2}


def test_a_part_of_a_page_is_replaced() -> None:
    text = "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n"
    assert kept.page_part(text, "x", "new\n") == text.replace("old", "new")
    with pytest.raises(ValueError, match="no part between <!-- y -->"):
        kept.page_part(text, "y", "new")


@pytest.mark.parametrize("name", quality_rows.VARIANTS)
def test_variants_are_of_shipped_options_and_known_platforms(name: str) -> None:
    variant = quality_rows.VARIANTS[name]
    assert variant.backend in quality_page.PLATFORMS
    assert variant.words[0].removeprefix("quant=") in Composer().options("quant")
    assert variant.option in (None, variant.label)


def test_rivals_say_what_they_lack() -> None:
    for rival in RIVALS.values():
        assert set(rival.backends) <= set(quality_page.PLATFORMS)
        assert rival.obstacle() is None or re.search("pip install", rival.obstacle() or "")


def test_rivals_that_are_computed_here_keep_what_they_can_represent() -> None:
    values = torch.tensor([[-3.0, 0.5, 2.0, 7.0] * 8, [1.0, 2.0, 3.0, 4.0] * 8])
    assert torch.equal(quality_rivals._k_means(values, 4), values), "a palette for each row"
    model = torch.nn.Linear(32, 2, bias=False)
    whole = torch.arange(64).remainder(15).sub(7).reshape(2, 32) * 0.5
    model.weight.data = whole.clone()
    _, size = quality_rivals._blocks(model)
    assert torch.equal(model.weight.data, whole)
    assert size == 64 // 2 + 2 * 2


def test_without_arguments_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(quality_table, "build", None)
    monkeypatch.setattr(quality_table, "measure", None)
    monkeypatch.setattr(sys, "argv", ["quality_table.py", "--out", str(tmp_path)])
    assert quality_table.main() == 2
    said = capsys.readouterr().out
    assert all(f"\n  {name}" in said for name in (*quality_rows.VARIANTS, *RIVALS))
    monkeypatch.setattr(sys, "argv", ["quality_table.py", "--all", "--rows"])
    with pytest.raises(SystemExit, match="2"):
        quality_table.main()


def test_figures_are_read_from_a_bundle(quantized_bundle: Path) -> None:
    variant = quality_rows.VARIANTS["xnnpack 8da8w"]
    row = quality_rows.row_of(variant, quantized_bundle)
    assert row["compared"] == "program"
    assert 0 < row["mean_kl"] < 0.1
    assert row["bits_per_weight"] > 8
    assert {"command", "commit", "measured", "machine", "versions"} <= row.keys()
    data = {**DATA, "rows": kept.replaced(DATA["rows"], row, [])}
    assert f"| `8da8w` | {row['bytes'] / 1e6:.1f} |" in quality_page.page(data)


def test_a_chart_has_each_point_inside_and_no_label_over_another() -> None:
    points = [kl_chart.Point(f"option {i}", 80 + 0.4 * i, 0.01 * 1.1**i, i % 2 == 0)
              for i in range(12)]  # fmt: skip
    root = ElementTree.fromstring(kl_chart.chart(points, "A < B"))
    space = "{http://www.w3.org/2000/svg}"
    spots = [c for c in root.iter(f"{space}circle") if c.find(f"{space}title") is not None]
    assert len(spots) == len(points)
    for spot in spots:
        assert kl_chart.LEFT <= float(spot.attrib["cx"]) <= kl_chart.WIDTH - kl_chart.RIGHT
        assert kl_chart.TOP <= float(spot.attrib["cy"]) <= kl_chart.HEIGHT - kl_chart.BOTTOM
    labels = [t for t in root.iter(f"{space}text") if (t.text or "").startswith("option")]
    places = [(float(t.attrib["x"]), float(t.attrib["y"])) for t in labels]
    assert len(labels) == len(points)
    assert not any(
        abs(a[0] - b[0]) < 40 and abs(a[1] - b[1]) < 9
        for at, a in enumerate(places) for b in places[:at]
    )  # fmt: skip
