"""The tree of modules: nothing is lost in it, whatever a chart leaves out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_files import LAYERS, profiles, program_map

from llm_export.profile.profile_map import ProfileMap
from llm_export.report.page.evidence import Evidence
from llm_export.report.page.module_tree import BYTES, chart, folded, table, tree_of
from llm_export.report.page.tables import Indented

_PART = st.sampled_from(["layers", "experts", "0", "1", "2", "norm", "a"])


def evidence(weights: dict[str, int], timed: list[dict[str, Any]]) -> Evidence:
    return Evidence({}, {}, None, {}, {}, {}, [], timed, ProfileMap({}, weights), {})


def total(node: dict[str, Any]) -> float:
    return float(node["v"] + sum(map(total, node.get("c", []))))


@settings(deadline=None, max_examples=20)
@given(st.dictionaries(st.lists(_PART, max_size=4).map(".".join), st.integers(1, 10**9),
                       min_size=1, max_size=12))  # fmt: skip
def test_folding_and_pruning_keep_every_byte(weights: dict[str, int]) -> None:
    found = evidence(weights, [])
    whole = sum(weights.values())
    root = tree_of(found)
    assert sum(root.total(BYTES).values()) == whole
    assert sum(folded(root).total(BYTES).values()) == whole
    (one,) = chart(found)
    assert total(one["each"]) == pytest.approx(whole)
    assert total(one["summed"]) == pytest.approx(whole)
    # Of numbered siblings that stand for several, there is one.
    for _, node in folded(root).walk():
        assert sum(name.isdigit() for name in node.children) <= 1


def test_time_and_bytes_of_a_program() -> None:
    weights = {"oddx" if "odd" in name else name: size for name, size in
               program_map().weights.items()}  # fmt: skip
    found = evidence(weights, profiles())
    decode, prefill, size = chart(found)
    assert [decode["key"], prefill["key"], size["key"]] == ["decode", "prefill", BYTES]
    # Parts of less than no time, by the clock's resolution, count as none.
    assert total(decode["summed"]) == pytest.approx(2 * 0.006 + LAYERS * 0.002)
    layers = decode["summed"]["c"][0]
    assert (layers["n"], layers["c"][0]["n"], layers["k"]) == ("layers", f"all {LAYERS}", -1)
    attention = layers["c"][0]["c"][0]
    assert {child["n"] for child in attention["c"]} == {"qkv", "llama::sdpa"}
    assert decode["kinds"] == ["linear layers", "attention", "inputs and outputs"]
    made = table(found)
    assert made is not None
    assert list(made.head) == ["module", "share of bytes", "size", "time, decode", "time, prefill",
                               "schemes"]  # fmt: skip
    names = [row[0] for row in made.rows]
    assert all(isinstance(name, Indented) for name in names)
    assert names[:3] == [Indented("model", 0), Indented("embed", 1), Indented("oddx", 1)]
    assert Indented("down", 4) in names
    assert not any("aten::" in str(name) for name in names), "operators are in the chart only"
    assert table(Evidence({}, {}, None, {}, {}, {}, [], [], None, {})) is None
