"""The page of a run: what it shows, what is missing, and what it makes of hostile names."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_files import ATTACK, FILES, PROOF, manifest, write_bundle

from llm_export.profile.profile_map import ProfileMap
from llm_export.report.page.assets import without_scripts
from llm_export.report.page.evidence import Evidence, read_evidence
from llm_export.report.page.run import run_page

ORDER = ["made-from", "stages", "size", "quality", "speed", "modules", "delegation", "answers",
         "warnings", "commands"]  # fmt: skip


class Elements(HTMLParser):
    """The elements of a page, and its text by section."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.events: list[str] = []
        self.sections: dict[str, str] = {}
        self._here = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.events += [name for name, _ in attrs if name.startswith("on")]
        self._here = dict(attrs).get("id") or self._here if tag == "section" else self._here

    def handle_data(self, data: str) -> None:
        self.sections[self._here] = self.sections.get(self._here, "") + data


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write_bundle(tmp_path_factory.mktemp("page"))
    return run_page(read_evidence(folder, manifest(), None))


def test_verdicts_come_first_and_sections_in_order(page: str) -> None:
    found = Elements(page)
    text = re.sub(r"\s+", " ", " ".join(found.sections.values()))
    assert text.index("a little is lost") < text.index("What it was made from")
    assert [id for id in found.sections if id in ORDER] == ORDER
    for id, words in {
        "made-from": ["134.5 M", "Apache-2.0", "arm64", "torch 2.13.0"],
        "stages": ["quantize", "20.0 s in all"],
        "size": ["8da8w", "12.3 kB", "30.0"],
        "quality": ["mean KL (nats)", "0.0045 to 0.018; limit ≤ 0.3", "16 to 63", "float"],
        "speed": [
            "decode",
            "50.0 tokens/s (48.0 to 52.5), 35% of the bandwidth bound, disturbed",
            "20.0 GB/s",
            "512",
            "p90",
            "0.90 of the first",
        ],
        "modules": ["all 3", "linear layers", "time, decode", "8da8w"],
        "delegation": ["aten::linear", "llama::sdpa", "layers.*.attention", "XnnpackBackend"],
        "answers": ["Because it ", "snows", "the same for 2 tokens", "the prompt is too long"],
        "warnings": ["a failure", "llm-export bench BUNDLE", "endings was not evaluated"],
        "commands": ["llm-export run model=tiny"],
    }.items():
        for word in words:
            assert word in found.sections[id], (id, word)


def test_a_limit_that_the_noise_floor_widens_is_shown_as_it_was_applied(page: str) -> None:
    assert "0.0035 to 0.014; limit ≤ 0.016 (noise floor)" in Elements(page).sections["quality"]


def test_the_table_of_speeds_has_each_value_once(page: str) -> None:
    section = page.partition('id="speed"')[2].partition("<details")[0]
    names = re.findall(r"<dt[^>]*>([^<]+)</dt>|<th[^>]*>([^<]+)</th>", section)
    found = [first or second for first, second in names]
    assert any("memory" in name for name in found), section[:400]
    assert len(found) == len(set(found))


def test_names_and_answers_cannot_inject_anything(page: str) -> None:
    found = Elements(page)
    assert found.tags.count("script") == 3, "the data, the library and the charts"
    assert not {"img", "iframe", "object", "base", "form"} & set(found.tags)
    assert found.events == []
    assert ATTACK not in page
    assert page.count(ATTACK.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")) >= 9
    (block,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    size = json.loads(block)["trees"][-1]
    assert f"odd{ATTACK}" in [child["n"] for child in size["summed"]["c"]]
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert policy[1].startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
    assert "unsafe-inline" not in policy[1].partition("style-src")[0]


def test_it_carries_everything_and_no_place_of_this_machine(page: str) -> None:
    assert len(page) < 600_000
    assert not re.search(r"""(src|href)=["'](?!#)""", without_scripts(page))
    assert "url(" not in page
    assert "/home/ada" not in page
    assert "Permission to use, copy, modify" in page, "the licence of D3"
    assert "function" not in without_scripts(page)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write_bundle(tmp_path_factory.mktemp("bare"), empty=True)
    return run_page(read_evidence(folder, manifest(), None))


def test_what_is_missing_says_how_to_get_it(bare: str) -> None:
    found = Elements(bare)
    for id in ("stages", "size", "speed", "modules", "delegation", "answers"):
        assert "Not here: " in found.sections[id]
        assert "llm-export run BUNDLE/recipe.yaml" in found.sections[id]
    assert "mean KL" in found.sections["quality"], "the manifest has the comparisons"
    assert "benchmark.profile=true" not in bare


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner,
                                                                max_size=2),
    max_leaves=4,
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, Any]:
    """A file's name, and its content with one value replaced by another, at any depth."""
    name = draw(st.sampled_from(sorted(FILES)))

    def replaced(node: Any) -> Any:
        if isinstance(node, dict) and node and draw(st.integers(0, 3)):
            key = draw(st.sampled_from(sorted(node)))
            return {**node, key: replaced(node[key])}
        if isinstance(node, list) and node and draw(st.integers(0, 3)):
            return [replaced(node[0]), *node[1:]]
        return draw(json_values)

    return name, replaced(FILES[name])


@settings(deadline=None, max_examples=15)
@given(damaged())
def test_any_damage_costs_a_section_at_most(damage: tuple[str, Any]) -> None:
    name, body = damage
    kind = list if name in ("answers.json", "profile.json") else dict
    values = {**FILES, name: body if isinstance(body, kind) else kind()}
    found = Evidence(
        manifest=manifest(), record=values["run.json"], recipe=None,
        proof=values["parity.json"] or PROOF, benchmark=values["benchmark.json"],
        evaluation=values["evaluation.json"], answers=values["answers.json"],
        profiles=[p for p in values["profile.json"] if isinstance(p, dict)],
        program_map=ProfileMap({}, {"a": 1}), sizes={},
    )  # fmt: skip
    page = run_page(found)
    assert all(f'id="{id}"' in page for id in ORDER)


def test_a_file_of_another_kind_counts_as_missing(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b", name="plain")
    for name, text in (("benchmark.json", "[]"), ("run.json", "{"), ("answers.json", "3")):
        (folder / name).write_text(text)
    (folder / "profile_map.json").write_bytes(b"\xff")
    found = read_evidence(folder, manifest("plain"), None)
    assert (found.benchmark, found.record, found.answers, found.program_map) == ({}, {}, [], None)
    assert "run.json is not in this bundle" in run_page(found)
