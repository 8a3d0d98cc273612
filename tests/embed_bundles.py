"""A bundle that embeds, made by hand: a tiny encoder of torch, lowered to portable kernels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn

WORDS = [
    "the", "a", "cat", "dog", "sat", "ran", "on", "mat", "road", "sun", "moon", "rain", "shines",
    "falls", "at", "night", "day",
]  # fmt: skip
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "query", "passage", ":", *WORDS]
HIDDEN, LENGTH, BATCH = 16, 12, 4
SETTINGS: dict[str, Any] = {
    "dimensions": HIDDEN, "max_length": LENGTH, "max_batch": BATCH, "lengths": None,
    "pooling": "mean", "normalize": True, "matryoshka": [HIDDEN, 8], "similarity": "cosine",
    "prompts": {"query": "query: ", "document": "passage: "}, "pad_id": 0, "pad_side": "right",
}  # fmt: skip


class TinyEncoder(nn.Module):
    """An embedding, one layer of attention, the mean of the tokens, length 1."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(len(VOCABULARY), HIDDEN)
        self.query, self.key, self.value, self.out = (nn.Linear(HIDDEN, HIDDEN) for _ in range(4))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        hidden = self.table(ids)
        # Not a chunk of one product: ExecuTorch's verifier takes len() of its parts, and so fixes a
        # dynamic batch (exir/verification/arg_validator.py).
        keep = mask.float().unsqueeze(1)
        scores = self.query(hidden) @ self.key(hidden).transpose(1, 2) + (keep - 1) * 1e9
        hidden = hidden + self.out(scores.softmax(-1) @ self.value(hidden))
        weights = mask.float().unsqueeze(-1)
        mean = (hidden * weights).sum(1) / weights.sum(1)
        return mean / (mean * mean).sum(-1, keepdim=True).sqrt()


def tokenizer() -> Tokenizer:
    made = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="[UNK]")
    )
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    made.enable_padding(length=8)  # as published tokenizers have it; the runtime must not use it
    made.enable_truncation(8)
    return made


def make(folder: Path, *, lengths: list[int] | None = None) -> None:
    """Write a bundle; ``lengths``: fixed lengths, or None for any length and batch."""
    folder.mkdir()
    (folder / "model.pte").write_bytes(_program(lengths))
    tokenizer().save(str(folder / "tokenizer.json"))
    write_manifest(folder, lengths=lengths)


def _program(lengths: list[int] | None) -> bytes:
    from executorch.exir import ExecutorchBackendConfig, to_edge
    from executorch.exir.passes.sym_shape_eval_pass import ConstraintBasedSymShapeEvalPass

    model, exported = TinyEncoder().eval(), {}
    for length in lengths or [LENGTH]:
        ids = torch.ones(BATCH, length, dtype=torch.int64)
        shapes = None
        if lengths is None:
            both = {0: torch.export.Dim("batch", max=BATCH), 1: torch.export.Dim("n", max=length)}
            shapes = (both, both)
        name = "forward" if length == (lengths or [LENGTH])[-1] else f"forward_{length}"
        exported[name] = torch.export.export(
            model, (ids, torch.ones_like(ids)), dynamic_shapes=shapes, strict=False
        )
    config = ExecutorchBackendConfig(sym_shape_eval_pass=ConstraintBasedSymShapeEvalPass())
    return bytes(to_edge(exported).to_executorch(config).buffer)


def write_manifest(folder: Path, **changes: Any) -> None:
    """Of a folder with model.pte and tokenizer.json.

    Args:
        changes: of the task's settings.
    """
    files = {
        name: {"bytes": (folder / name).stat().st_size,
               "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}
        for name in ("model.pte", "tokenizer.json")
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(_manifest(files, {**SETTINGS, **changes})))


def _manifest(files: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    lengths = settings["lengths"] or [LENGTH]
    methods = [*(f"forward_{n}" for n in lengths[:-1]), "forward"]
    return {
        "format": 1,
        "name": "tiny_embed",
        "created": "2026-11-29T00:00:00+00:00",
        "producer": {"llm_export": "0"},
        "model": {"name": "tiny", "family": "tiny", "checkpoint": "random", "parameters": 1456},
        "task": {"name": "embed", "settings": dict(settings)},
        "program": {
            "methods": methods, "context_length": settings["max_length"],
            "prefill_length": settings["max_length"], "dynamic_shapes": not settings["lengths"],
            "kv_cache": False, "vocab_size": len(VOCABULARY), "logits": "none",
        },
        "tokenizer": {"bos_id": 2, "eos_ids": [3], "add_bos": False, "special_tokens": {}},
        "sampling": {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "max_new_tokens": 1},
        "requires": {"executorch": "1", "backends": [], "operators": []},
        "proof": {"verified": False, "reason": "made by hand"},
        "roles": {"program": "model.pte", "tokenizer": "tokenizer.json"},
        "files": dict(files),
    }  # fmt: skip


def expected(texts: list[str]) -> Tensor:
    """Embeddings of the eager model, one text at a time."""
    made, model = tokenizer(), TinyEncoder().eval()
    made.no_padding()
    made.enable_truncation(LENGTH)
    rows = [torch.tensor([made.encode(text).ids]) for text in texts]
    with torch.no_grad():
        return torch.cat([model(row, torch.ones_like(row)) for row in rows])
