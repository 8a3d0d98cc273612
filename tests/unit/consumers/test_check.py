"""A bundle that fits each contract, and one that is damaged for each of its rows."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from contract_bundle import (
    CONSTANTS,
    FORWARD,
    SCHEMA,
    STEP,
    V,
    dim,
    methods,
    tensor,
    write_files,
)
from written_program import M, T, constants, write_program

from llm_export.consumers import CONSUMERS, Verdict, check_for, contract_of
from llm_export.consumers.contract import Contract
from llm_export.consumers.signature import TensorRule
from llm_export.errors import BundleError

OWN = [name for name in CONSUMERS if name.startswith("runtime_py")]
OTHERS = [name for name in CONSUMERS if name not in OWN]
TEXT = [name for name in OTHERS if not name.startswith("et_cpp_multimodal")]
WRONG = T("float64", (7, 7, 7, 7))


def example(rule: TensorRule) -> T:
    sizes = [V if d.vocabulary else d.size or 4 for d in rule.dims if not d.optional]
    return T(rule.dtypes[0], tuple(sizes), dynamic=any(d.dynamic for d in rule.dims))


def fitting(contract: Contract) -> dict[str, M]:
    """Methods that a contract asks for, made from it, where the ones above are of another kind."""
    if "forward" in contract.methods[0]:
        return methods()
    form = {
        name: M(
            tuple(map(example, rule.tensors("inputs"))),
            tuple(map(example, rule.tensors("outputs"))),
        )
        for name, rule in contract.methods[0].items()
    }
    return {**form, **constants(CONSTANTS)}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The files that contracts name but for the manifest; the program is to be written."""
    return write_files(tmp_path)


@pytest.fixture
def complete(bundle: Path, portable_bundle: Path) -> Path:
    shutil.copy(portable_bundle / "manifest.json", bundle)
    return bundle


@pytest.mark.parametrize("name", TEXT)
def test_one_bundle_fits_all_that_take_text(bundle: Path, name: str) -> None:
    write_program(bundle / "model.pte", methods())
    assert not check_for(bundle, name).failed


def bad(verdict: Verdict) -> Mapping[str, str]:
    return {row.what: row.fix for row in verdict.failed}


@pytest.mark.parametrize("name", OTHERS)
def test_each_row_refuses_what_it_is_for(bundle: Path, name: str) -> None:
    each_row_refuses(bundle, name)


@pytest.mark.parametrize("name", OWN)
def test_each_row_of_our_own_runtime(complete: Path, name: str) -> None:
    each_row_refuses(complete, name)


def each_row_refuses(bundle: Path, name: str) -> None:
    contract = contract_of(name)
    good = fitting(contract)
    write_program(bundle / "model.pte", good)
    whole = check_for(bundle, name)
    assert not whole.failed
    for row in whole.rows:
        kept = {f.name: f.read_bytes() for f in bundle.iterdir()}
        damage(bundle, row.what, dict(good))
        failed = bad(check_for(bundle, name))
        assert row.what in failed, f"{row.what}: {failed}"
        assert failed[row.what], f"{row.what} has no fix"
        for path, data in kept.items():
            (bundle / path).write_bytes(data)


def damage(bundle: Path, what: str, good: dict[str, M]) -> None:
    """Change the bundle so that it does not meet the requirement of a row."""
    first, _, rest = what.partition(" ")
    if what == "model.pte":
        (bundle / what).write_bytes(b"not a program")
    elif what == "manifest.json":
        (bundle / what).unlink()
    elif ": " in what and what.startswith("get_model_schema"):
        _declare(bundle, good, {**SCHEMA, "forward": {"inputs": [], "outputs": []}})
    elif ": " in what:
        path, key = what.split(": ")
        body = json.loads((bundle / path).read_text())
        del body[key]
        (bundle / path).write_text(json.dumps(body))
    elif (bundle / what).is_file():
        (bundle / what).write_text("{")
    elif what == "vocabulary":
        body = json.loads((bundle / "tokenizer.json").read_text())
        body["added_tokens"] = [{"id": V, "content": "<x>"}]
        (bundle / "tokenizer.json").write_text(json.dumps(body))
    else:
        write_program(bundle / "model.pte", damaged_program(what, good, first, rest))


def _declare(bundle: Path, good: dict[str, M], schema: object) -> None:
    text = {"get_model_schema": json.dumps(schema)}
    write_program(bundle / "model.pte", {**good, **constants(text)})


def damaged_program(what: str, good: dict[str, M], first: str, rest: str) -> dict[str, M]:
    one = next(iter(good))
    if what in good:
        return {**good, what: M(outputs=("a text",) if what != "get_model_schema" else (1,))}
    if first == "method":
        return {name: method for name, method in good.items() if name != rest}
    if what == "operators":
        return {**good, one: replace(good[one], operators=("mine::add.out",))}
    if what == "backends":
        return {**good, one: replace(good[one], delegates=("MineBackend",))}
    if what == "steps":
        fixed = T("int64", (1, STEP))
        return {**good, one: replace(good[one], inputs=(fixed, *good[one].inputs[1:]))}
    side, index = rest.split()
    tensors = list(getattr(good[first], f"{side}s"))
    tensors[int(index)] = WRONG
    return {**good, first: replace(good[first], **{f"{side}s": tuple(tensors)})}


@pytest.mark.parametrize(
    ("name", "made", "failed"),
    [
        ("react_native@0.11", methods(get_model_schema=None), {"get_model_schema"}),
        ("react_native@0.11", methods(**constants({"use_kv_cache": 1})), {"use_kv_cache"}),
        ("react_native@0.10", methods(**constants({"use_kv_cache": 1})), set()),
        ("android", methods(**constants({"use_kv_cache": False})), {"use_kv_cache"}),
        ("android", methods(get_max_seq_len=None), {"get_max_seq_len", "steps"}),
        ("react_native@0.9", methods(get_eos_ids=None), {"get_eos_ids"}),
        ("android", methods(get_eos_ids=None), set()),
        ("optimum", methods(get_eos_ids=None, **constants({"get_eos_id": 2})), set()),
        (
            "android",
            methods(forward=replace(FORWARD, inputs=(*FORWARD.inputs, T("float32", (1, 2))))),
            {"forward inputs"},
        ),
        (
            "module",
            methods(forward=replace(FORWARD, inputs=(*FORWARD.inputs, T("float32", (1, 2))))),
            set(),
        ),
        (
            "module",
            methods(forward=replace(FORWARD, operators=("llama::custom_sdpa.out",))),
            {"operators"},
        ),
        ("ios", methods(forward=replace(FORWARD, delegates=("VulkanBackend",))), {"backends"}),
        (
            "et_cpp",
            methods(forward=replace(FORWARD, outputs=(T("float16", (1, STEP, V), True),))),
            set(),
        ),
        (
            "et_cpp",
            methods(forward=replace(FORWARD, outputs=(T("float16", (1, STEP, V + 1), True),))),
            {"forward output 0"},
        ),
        (
            "et_cpp",  # one token at a time
            methods(
                forward=replace(FORWARD, inputs=(T("int64", (1, 1)), T("int64", (1,)))),
                **constants({"enable_dynamic_shape": False}),
            ),
            set(),
        ),
        (
            "et_cpp",
            methods(
                forward=replace(FORWARD, inputs=(T("int32", (1, 1)), T("int32", (1,)))),
                **constants({"enable_dynamic_shape": False}),
            ),
            {"forward input 0", "forward input 1"},
        ),
    ],
)
def test_programs(bundle: Path, name: str, made: dict[str, M], failed: set[str]) -> None:
    write_program(bundle / "model.pte", made)
    assert set(bad(check_for(bundle, name))) == failed


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (tensor("int64", 1, STEP), "declares a fixed S"),
        (tensor("int64", 1, (1, STEP * 2)), "is declared up to 32 where the program takes 16"),
        (tensor("int32", 1, (1, STEP)), "is declared as int32, not int64"),
        (tensor("int64", 1), "is not declared with 2 dimensions"),
        ({**tensor("int64", 1, 1), "shape": [{"kind": "any"}, dim(1)]}, "no known kind"),
        ({**tensor("int64", 1), "shape": [dim(1), {"kind": "enum", "choices": [1, STEP]}]}, ""),
        ({**tensor("int64", 1), "shape": [dim(1), {**dim(1), "value": math.inf}]}, "no known kind"),
    ],
)
def test_declared_dimensions(bundle: Path, spec: dict[str, object], problem: str) -> None:
    forward = {**SCHEMA["forward"], "inputs": [spec, tensor("int64", 1)]}
    _declare(bundle, methods(), {"forward": forward})
    rows = {row.what: row for row in check_for(bundle, "react_native@0.11").rows}
    row = rows["get_model_schema: forward"]
    assert row.good is (not problem)
    assert problem in row.found


@pytest.mark.parametrize("each", [True, False])
def test_react_native_with_images_takes_a_position_for_each_token(
    complete: Path, each: bool
) -> None:
    ids = T("int64", (1, STEP), dynamic=True)
    vectors = T("float32", (1, STEP, 8), dynamic=True)
    positions = T("int64", (STEP,), dynamic=True) if each else T("int64", (1,))
    write_program(complete / "model.pte", methods(
        forward=None,
        token_embedding=M((ids,), (vectors,)),
        text_decoder=M((vectors, positions), (T("float32", (1, V)),)),
        vision_encoder=M((T("float32", (1, 3, 32, 32)),), (T("float32", (1, 4, 8)),)),
    ))  # fmt: skip
    rows = check_for(complete, "react_native@0.11").rows
    failed = {row.what: row for row in rows if not row.good and "schema" not in row.what}
    assert set(failed) == (set() if each else {"text_decoder input 1"})
    if not each:
        assert "--for et_cpp_multimodal" in failed["text_decoder input 1"].fix


def test_adapters_are_files_that_not_all_load(complete: Path) -> None:
    write_program(complete / "model.pte", methods())
    body = json.loads((complete / "manifest.json").read_text())
    body |= {"adapters": {"a": "adapters/a.ptd"}, "default_adapter": "a"}
    body["files"]["adapters/a.ptd"] = {"bytes": 1, "sha256": "0" * 64}
    (complete / "manifest.json").write_text(json.dumps(body))
    assert not check_for(complete, "android").failed
    (row,) = check_for(complete, "ios").failed
    assert row.what == "weights outside the program"
    assert "checkpoint.adapter_mode=merged" in row.fix


def test_a_folder_without_program(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"neither manifest.json nor model.pte"):
        check_for(tmp_path, "android")
