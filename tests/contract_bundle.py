"""A bundle that meets the contracts of all consumers that take text, but for its manifest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from written_program import Constant, M, T, constants

V, STEP = 320, 16
"""Tokens of the vocabulary and of a step."""


def dim(value: int | tuple[int, int]) -> dict[str, object]:
    if isinstance(value, int):
        return {"kind": "constant", "value": value}
    return {"kind": "range", "range": {"min": value[0], "max": value[1], "step": 1}}


def tensor(dtype: str, *dims: int | tuple[int, int]) -> dict[str, object]:
    return {"kind": "Tensor", "dtype": dtype, "shape": [dim(each) for each in dims]}


SCHEMA = {
    "forward": {
        "inputs": [tensor("int64", 1, (1, STEP)), tensor("int64", 1)],
        "outputs": [tensor("float32", 1, V)],
        "runtimeConstraints": [],
    }
}
CONSTANTS: dict[str, Constant | Sequence[int]] = {
    "get_max_seq_len": STEP, "get_max_context_len": 64, "get_vocab_size": V, "use_kv_cache": True,
    "enable_dynamic_shape": True, "use_sdpa_with_kv_cache": False, "get_eos_ids": (2, 7),
    "get_model_schema": json.dumps(SCHEMA),
}  # fmt: skip
FORWARD = M(
    (T("int64", (1, STEP), dynamic=True), T("int64", (1,))), (T("float32", (1, V)),),
    ("aten::add.out", "quantized_decomposed::embedding_byte.out"), ("XnnpackBackend",),
)  # fmt: skip


def methods(**changed: M | None) -> dict[str, M]:
    made = {"forward": FORWARD, **constants(CONSTANTS), **changed}
    return {name: method for name, method in made.items() if method is not None}


def write_files(folder: Path) -> Path:
    """All but the program."""
    config = {"chat_template": "{{ messages }}", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    vocabulary = {f"t{i}": i for i in range(V)}
    tokenizer = {"model": {"type": "BPE", "vocab": vocabulary, "merges": []}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder
