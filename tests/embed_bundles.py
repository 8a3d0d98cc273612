"""A bundle that embeds, from a whole run of a tiny BERT with random weights."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from encoder_models import reference, save
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn

from llm_export import api

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


CONFIG: dict[str, Any] = {
    "vocab_size": len(VOCABULARY), "hidden_size": HIDDEN, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": LENGTH,
    "type_vocab_size": 1, "pad_token_id": 0, "hidden_act": "relu",
}  # fmt: skip


class TinyEncoder(nn.Module):
    """transformers' BERT, the mean of the tokens, length 1."""

    def __init__(self) -> None:
        super().__init__()
        bert: Any = reference("bert", **CONFIG)
        self.bert = bert
        self.table: nn.Module = bert.embeddings.word_embeddings
        self.out: nn.Linear = bert.encoder.layer[0].output.dense

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        hidden: Tensor = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.float().unsqueeze(-1)
        return nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=-1)


@cache
def encoder() -> TinyEncoder:
    return TinyEncoder().eval()


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
    """A whole run, from a folder of sentence-transformers to a bundle.

    Args:
        lengths: fixed lengths, or None for any length and batch.
    """
    with TemporaryDirectory() as checkpoint:
        save(encoder().bert, Path(checkpoint), {"pooling_mode_mean_tokens": True},
             prompts=SETTINGS["prompts"], similarity_fn_name="cosine")  # fmt: skip
        tokenizer().save(f"{checkpoint}/tokenizer.json")
        words = [
            "model=auto", "model.task=embed", f"checkpoint.path={checkpoint}", "backend=portable",
            f"model.task_options.max_batch={BATCH}",
            f"model.task_options.lengths={lengths or 'null'}",
            f"model.task_options.matryoshka={SETTINGS['matryoshka']}",
            "verify.positions=20", "benchmark=off",
        ]  # fmt: skip
        api.run(None, words, out=folder, quiet=True)


def write_manifest(folder: Path, **changes: Any) -> None:
    """Change a bundle's manifest.

    Args:
        changes: of the task's settings.
    """
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["task"]["settings"] |= {**SETTINGS, **changes}
    file.write_text(json.dumps(manifest))


def expected(texts: list[str]) -> Tensor:
    """Embeddings of the eager model, one text at a time."""
    made, model = tokenizer(), encoder()
    made.no_padding()
    made.enable_truncation(LENGTH)
    rows = [torch.tensor([made.encode(text).ids]) for text in texts]
    with torch.no_grad():
        return torch.cat([model(row, torch.ones_like(row)) for row in rows])
