"""Contracts as files: how they are named, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import pytest

from llm_export.backends import BACKENDS
from llm_export.bundle.roles import ROLES
from llm_export.consumers import (
    CONSUMERS,
    Contract,
    contract_of,
    full_name,
    read_contract,
    shipped,
    versions_of,
)
from llm_export.consumers.facts import PROGRAM, RECIPE, TOKENIZER
from llm_export.consumers.fixes import options_for
from llm_export.consumers.signature import parse_tensor
from llm_export.errors import InputError, RecipeError
from llm_export.runner.stages import STAGES
from llm_export.stage_cache.keys import FACTS

METHODS = '[{forward: {inputs: ["int64[1,S]"], outputs: ["float32[1,V]"]}}]'
VALID = f"""
title: My app
files: {{model.pte: {{}}}}
constants: {{get_max_seq_len: {{type: int}}}}
methods: {METHODS}
sources: {{files: https://example.org}}
"""


def test_shipped_contracts_say_where_each_fact_is_from() -> None:
    facts = ("files", "constants", "methods", "steps", "vocabulary", "operators", "backends")
    for name in CONSUMERS:
        contract = contract_of(name)
        assert contract.full_name == name
        for key in facts:
            if getattr(contract, key):
                assert contract.sources.get(key), f"{name}: {key}"
        for key in contract.reads:
            assert key not in contract.ignores, f"{name}: {key}"


def test_delegates_of_contracts_are_those_of_backends() -> None:
    known = {getattr(BACKENDS.get(name), "delegate", "") for name in BACKENDS}
    for name in CONSUMERS:
        assert set(contract_of(name).backends or ()) <= known, name


def test_files_are_called_as_in_bundles() -> None:
    assert (ROLES["program"], ROLES["tokenizer"], ROLES["recipe"]) == (PROGRAM, TOKENIZER, RECIPE)


def test_the_latest_version_is_meant_by_a_bare_name() -> None:
    assert versions_of("react_native") == ["0.9", "0.10", "0.11"]
    assert full_name("react_native") == "react_native@0.11"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("react_nativ", "did you mean 'react_native'?"),
        ("react_native@0.12", "versions: 0.9, 0.10, 0.11"),
        ("@", "choices: android, et_cpp"),
    ],
)
def test_an_unknown_name(name: str, said: str) -> None:
    with pytest.raises(RecipeError) as error:
        contract_of(name)
    assert said in str(error.value)


def test_backends_whose_programs_need_no_other_delegate() -> None:
    assert options_for(["VulkanBackend", "XnnpackBackend"]) == [
        "vulkan", "webgpu", "xnnpack", "portable",
    ]  # fmt: skip


def changed() -> Iterator[tuple[str, str, str]]:
    yield "title: My app", "titel: My app", "unknown key 'titel'"
    yield "title: My app", "title: 3", "title: not a str"
    yield "type: int", "type: integer", "constants.get_max_seq_len.type: there is no 'integer'"
    yield "int64[1,S]", "int63[1,S]", "'int63' is no dtype"
    yield "int64[1,S]", "int64(1,S)", "is no tensor"
    yield "int64[1,S]", "int64[1,seq]", "'seq' is no dimension"
    yield "files: https", "fils: https", "sources.fils: there is no 'fils'"
    yield "{model.pte: {}}", "{model.pte: {holds: {a: b}}}", "files.model.pte.holds.a"
    yield METHODS, "[]", "methods: at least one form"
    yield METHODS, "[{}]", "methods[0]: a form has at least one method"
    yield '["int64[1,S]"]', "[]", "methods[0].forward.inputs: at least one tensor"
    yield '["int64[1,S]"]', "[3]", "methods[0].forward.inputs: not a list of texts"
    yield "type: int", "type: int, value: x", "constants.get_max_seq_len.value: there is no 'x'"
    yield "type: int", "type: int, other_names: [3]", "get_max_seq_len.other_names: not a list"
    yield "title: My app", "title: My app\noperators: 5", "operators: not a list"
    yield "title: My app", "title: My app\nversion: 3", "'version' is told by the file's name"
    yield "title: My app", "title: My app\ntitle: B", "the key 'title' is there twice"
    yield "title: My app", "backends: {A: 3}\ntitle: B", "backends.A: not a text"


@pytest.mark.parametrize(("old", "new", "said"), list(changed()))
def test_what_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = tmp_path / "my_app@1.yaml"
    file.write_text(VALID)
    assert read_contract(file).full_name == "my_app@1"
    assert old in VALID
    file.write_text(VALID.replace(old, new))
    with pytest.raises(InputError) as error:
        read_contract(file)
    assert said in str(error.value)
    assert str(file) in str(error.value)


def test_a_name_without_version(tmp_path: Path) -> None:
    file = tmp_path / "my_app.yaml"
    file.write_text(VALID)
    with pytest.raises(InputError, match="NAME@VERSION"):
        read_contract(file)


def test_every_field_is_explained() -> None:
    for each in fields(Contract):
        if each.name not in ("name", "version", "title"):
            assert each.name in (Contract.__doc__ or ""), each.name


def test_an_optional_dimension_may_be_missing() -> None:
    rule = parse_tensor("float32|float16[1,S?,V]")
    assert [d.optional for d in rule.dims] == [False, True, False]
    assert rule.dtypes == ("float32", "float16")


def test_a_changed_contract_makes_the_report_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contracts are data files, which no digest of source has."""
    value = FACTS["@consumers"].value
    before = value(cast(Any, None), cast(Any, None))
    assert before == value(cast(Any, None), cast(Any, None))
    former = contract_of("android")
    monkeypatch.setattr(shipped, former.full_name, replace(former, steps=False))
    assert before != value(cast(Any, None), cast(Any, None))
    (report,) = (stage for stage in STAGES if stage.name == "report")
    assert "@consumers" in report.reads


def test_the_documented_example_is_a_contract(tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "consumers.md"
    example = page.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    file = tmp_path / "my_app@2.yaml"
    file.write_text(example)
    assert read_contract(file).title == "My app 2"


def test_a_name_may_have_hyphens() -> None:
    assert contract_of("react-native").full_name == contract_of("react_native").full_name
    assert contract_of("react-native@0.10").full_name == "react_native@0.10"
