"""Parts of a run's page that differ from bundle to bundle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from report_files import RECORD, manifest, program_map

from llm_export.report.page.commands import commands
from llm_export.report.page.delegation import KERNELS, operators, overview, places
from llm_export.report.page.evidence import Evidence
from llm_export.report.page.origin import licence
from llm_export.report.page.tables import bytes_text, seconds_text
from llm_export.report.page.verdicts import BAD, FAIR, GOOD, OPEN, quality, scale

BARE = Evidence(manifest("mine"), {}, None, {}, {}, {}, [], [], None, {})


def test_delegation_by_the_map_and_by_the_record_of_an_older_bundle() -> None:
    mapped = places(replace(BARE, program_map=program_map()))
    assert [(place.name, place.subgraphs) for place in mapped] == [
        ("XnnpackBackend", 3), (KERNELS, 0),
    ]  # fmt: skip
    assert mapped[1].operators == {"llama::sdpa": 3, "aten::embedding": 1}
    assert operators(mapped).rows[0] == ["llama::sdpa", KERNELS, "layers.*.attention", "3"]
    counted = places(replace(BARE, record=RECORD))
    assert overview(counted).rows[0][:3] == ["XnnpackBackend", "–", "3"]
    assert operators(counted).rows == [["aten.add", KERNELS, "", "4"]]
    assert places(BARE) == []


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ("smollm2_135m", "Apache-2.0"),
        ("gemma3_1b", "Gemma Terms of Use; the hub asks you to accept it"),
        ("auto", None),
        ("../export_base", None),
        (None, None),
    ],
)
def test_the_licence_is_that_of_the_models_option(choice: str | None, found: str | None) -> None:
    assert licence(replace(BARE, record={"choices": {"model": choice}})) == found


@pytest.mark.parametrize(
    ("record", "name", "first"),
    [
        ({"overrides": ["model=tiny", "out=/home/ada/x"]}, "mine",
         "llm-export run model=tiny out=…/x"),
        ({"overrides": ["quant=8da4w"]}, "smollm2_135m_xnnpack_8da8w",
         "llm-export run smollm2_135m_xnnpack_8da8w quant=8da4w"),
        ({"overrides": ["quant=8da4w"]}, "no_shipped_recipe", "llm-export run recipe.yaml"),
    ],
)  # fmt: skip
def test_the_first_command(record: dict[str, Any], name: str, first: str) -> None:
    found = replace(BARE, manifest={**BARE.manifest, "name": name}, record=record)
    (_, command), *_ = commands(found)
    assert command.replace("'", "") == first


@pytest.mark.parametrize(
    ("word", "tone"),
    [("lossless", GOOD), ("good", GOOD), ("visible loss", FAIR), ("broken", BAD),
     ("not judged", OPEN)],
)  # fmt: skip
def test_a_verdict_has_a_sign_of_its_own(word: str, tone: str) -> None:
    proof = {"verdict": {"word": word, "meaning": "m", "figures": [], "remarks": []}}
    assert quality(proof).tone == tone
    assert [text for text, here in scale(proof) if here] == [word] * (tone != OPEN)
    assert len({quality({"verdict": None}).sign, quality(proof).sign}) == 1 + (tone != OPEN)


def test_numbers_as_people_read_them() -> None:
    assert [bytes_text(n) for n in (0, 999, 12_300, 138.5e6, 25.28e9)] == [
        "0 B", "999 B", "12.3 kB", "138.5 MB", "25.28 GB",
    ]  # fmt: skip
    assert [seconds_text(n) for n in (0.0081, 1.94, 99.4, 263, 7260)] == [
        "8.1 ms", "1.9 s", "99.4 s", "4 min 23 s", "2 h 1 min",
    ]  # fmt: skip
