"""The manifest's dataclasses are its schema, and give back the JSON that they were read from."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from llm_export.bundle.chat_format import ChatEntry, ChatExample, ChatTurns
from llm_export.bundle.manifest import (
    CacheEntry,
    FileEntry,
    Manifest,
    ModelEntry,
    ProgramEntry,
    Requirements,
    SamplingEntry,
    TokenizerEntry,
)
from llm_export.bundle.program_state import ProgramState, StateTensor
from llm_export.bundle.proof import Proof
from llm_export.bundle.verdict import Figure, Verdict
from llm_export.errors import BundleError
from llm_export.metrics.interval import Interval
from llm_export.metrics.scale import LEVELS, NOT_JUDGED
from llm_export.models.cache_metadata import CacheInputs, CacheShapes, Rewind
from runtime_py.bundle import check_manifest, manifest_schema

RESULT = {
    "positions": 9, "mean_kl": 0.5, "p99_kl": 1, "top1_agreement": 1.0, "max_logit_diff": 2.0,
    "perplexity": 3.0, "reference_perplexity": 3.5,
}  # fmt: skip
INTERVAL = {"low": 0.4, "high": 0.6}
VERDICT = {
    "word": "poor", "meaning": "answers are often wrong",
    "figures": [
        {"name": "mean_kl", "value": 0.5, "limit": 1.0, "recipe_limit": 0.6, "interval": INTERVAL},
        {"name": "changed_top1", "value": 0.0, "limit": 0.6, "recipe_limit": None},
    ],
    "faithful": True, "remarks": ["perplexity is high"], "advice": "quant=8da8w",
}  # fmt: skip
FILE = {"bytes": 3, "sha256": "0" * 64}
SMALLEST: dict[str, Any] = {
    "format": 1, "name": "mine",
    "proof": {"verified": False, "reason": "verification is off"},
    "created": "2026-01-01", "producer": {"torch": "2"},
    "model": {"name": "tiny", "family": "llama", "checkpoint": "x", "parameters": 1},
    "program": {"methods": ["forward"], "context_length": 8, "prefill_length": 4,
                "dynamic_shapes": True, "kv_cache": True, "vocab_size": 9, "logits": "last"},
    "tokenizer": {"bos_id": None, "eos_ids": [3], "add_bos": False, "special_tokens": {},
                  "normalization": None},
    "sampling": {"temperature": 0, "top_k": 0, "top_p": 1, "max_new_tokens": 1,
                 "min_p": 0, "repetition_penalty": 1},
    "requires": {"executorch": "1.5.1", "backends": ["XnnpackBackend"], "operators": []},
    "roles": {"program": "model.pte", "tokenizer": "tokenizer.json"},
    "files": dict.fromkeys(("model.pte", "tokenizer.json"), FILE),
}  # fmt: skip
LARGEST: dict[str, Any] = {
    **SMALLEST,
    "program": {
        "methods": ["forward", "prefill"], "context_length": 8, "prefill_length": 4,
        "dynamic_shapes": False, "steps": {"forward": 1, "prefill": 4}, "token_dtype": "int32",
        "kv_cache": False, "vocab_size": 9, "logits": "all",
        "cache": {"dtype": "float32", "bytes": 64}, "rewind": {"until": 4, "tokens": 0},
        "endless": True,
        "cache_io": {
            "windows": [None, 4], "hidden": -1e4,
            "layers": [{"keys": [1, 2, 8, 4], "values": None},
                       {"keys": [1, 2, 8, 4], "values": [1, 2, 8, 4]}],
            "dtype": "float16",
        },
        "state": {"method": "state", "bytes": 72, "tensors": [
            {"name": "a.k_cache", "shape": [1, 2, 8, 1], "dtype": "float32", "slots": 2},
            {"name": "a.state_cache", "shape": [1, 2], "dtype": "float32"},
        ]},
    },
    "tokenizer": {**SMALLEST["tokenizer"], "normalization": "NFC", "stop_strings": ["<|end|>"]},
    "proof": {
        "verdict": VERDICT, "verified": True, "positions": 9,
        "comparisons": {
            "lowering": RESULT,
            "quality": {"positions": 9, "intervals": {"mean_kl": INTERVAL}, **RESULT},
            "floor": RESULT,
        },
    },
    "chat": {
        "example": {"messages": [{"role": "user", "content": "a"}], "text": "u: a", "date": "x"},
        "turns": {"start": "", "roles": {"user": {"prefix": "u: ", "suffix": ""}},
                  "generation_prompt": "", "trims": False, "drops_reasoning": True},
    },
    "adapters": {"legal": "adapters/legal.ptd", "base": "adapters/base.ptd"},
    "default_adapter": "legal",
    "files": {**SMALLEST["files"], "adapters/legal.ptd": FILE, "adapters/base.ptd": FILE},
}  # fmt: skip


@pytest.mark.parametrize("body", [SMALLEST, LARGEST], ids=["smallest", "largest"])
def test_a_manifest_is_written_as_it_was_read(body: dict[str, Any]) -> None:
    check_manifest(body, "manifest")
    assert json.dumps(Manifest.from_dict(body).as_dict()) == json.dumps(body)


def test_a_recurrent_state_cannot_go_back() -> None:
    program = {**SMALLEST["program"], "rewind": {"until": 0, "tokens": 0}}
    check_manifest({**SMALLEST, "program": program}, "manifest")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ((), Manifest), (("model",), ModelEntry), (("program",), ProgramEntry),
        (("program", "cache"), CacheEntry), (("program", "rewind"), Rewind),
        (("program", "cache_io"), CacheInputs), (("program", "state"), ProgramState),
        (("tokenizer",), TokenizerEntry),
        (("proof", "verdict"), Verdict),
        (("chat",), ChatEntry), (("chat", "example"), ChatExample), (("chat", "turns"), ChatTurns),
        (("sampling",), SamplingEntry), (("requires",), Requirements), (("proof",), Proof),
    ],
)  # fmt: skip
def test_fields_are_the_schemas_keys(path: tuple[str, ...], kind: Any) -> None:
    schema = manifest_schema()
    for key in path:
        schema = schema["properties"][key]
    others = {"whole_text"}  # of programs of other exporters, whose manifest is made on loading
    assert {f.name for f in fields(kind)} == set(schema["properties"]) - others


def test_fields_of_lists_and_maps_are_the_schemas_keys() -> None:
    defined = manifest_schema()["$defs"]
    assert {f.name for f in fields(Figure)} == set(defined["figure"]["properties"])
    assert {f.name for f in fields(Interval)} == set(defined["interval"]["properties"])
    properties = manifest_schema()["properties"]
    file = properties["files"]["additionalProperties"]["properties"]
    assert {f.name for f in fields(FileEntry)} == set(file)
    layer = properties["program"]["properties"]["cache_io"]["properties"]["layers"]["items"]
    assert {f.name for f in fields(CacheShapes)} == set(layer["properties"])
    tensor = properties["program"]["properties"]["state"]["properties"]["tensors"]["items"]
    assert {f.name for f in fields(StateTensor)} == set(tensor["properties"])


def test_the_words_are_those_of_the_scale() -> None:
    proof = manifest_schema()["properties"]["proof"]["properties"]
    words = proof["verdict"]["properties"]["word"]["enum"]
    assert words == [*(level.word for level in LEVELS), NOT_JUDGED]


def test_what_is_no_manifest_is_refused_by_its_key() -> None:
    unknown = json.loads(json.dumps(LARGEST))
    unknown["proof"]["comparisons"]["ceiling"] = 1
    with pytest.raises(BundleError, match=r"Manifest\.proof\.comparisons: unknown key 'ceiling'"):
        Manifest.from_dict(unknown)
    without = json.loads(json.dumps(SMALLEST))
    del without["requires"]["backends"]
    with pytest.raises(BundleError, match=r"Manifest\.requires: 'backends' is missing"):
        Manifest.from_dict(without)
    with pytest.raises(BundleError, match=r"Manifest\.tokenizer\.eos_ids: not a list"):
        Manifest.from_dict({**SMALLEST, "tokenizer": {**SMALLEST["tokenizer"], "eos_ids": 3}})
    with pytest.raises(BundleError, match=r"Manifest\.files: not an object"):
        Manifest.from_dict({**SMALLEST, "files": []})
