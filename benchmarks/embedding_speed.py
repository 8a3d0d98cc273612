"""Sentences a second: a bundle, ONNX Runtime with dynamic int8, and transformers, alternating.

python benchmarks/embedding_speed.py BUNDLE MODEL_FOLDER [--rounds 5] [--texts 256] [--threads 2]

MODEL_FOLDER: the checkpoint as a Hugging Face folder of BERT's kind with mean pooling, such as
all-MiniLM-L6-v2. All embed the same sentences in batches of 32 of similar length; the figures are
medians over the rounds, in each of which every runtime runs once. Cosines are to transformers.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.tasks.embedding.texts import text_set
from llm_export.tasks.embedding.vectors import cosines
from runtime_py import Embedder

_BATCH = 32
Run = Callable[[], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    texts = list(text_set(given.texts).passages)
    embedder = Embedder.load(given.bundle, threads=given.threads)
    batches = list(_batches(embedder, texts))
    eager = _transformers(given.folder)
    runs: dict[str, Run] = {
        f"bundle {given.bundle.name}": lambda: embedder.embed(texts),
        "transformers float32": lambda: _all(eager, batches, len(texts)),
    }
    with tempfile.TemporaryDirectory() as work:
        onnx = _onnx(eager, Path(work), given.threads)
        if onnx is not None:
            runs["ONNX Runtime int8"] = lambda: _all(onnx, batches, len(texts))
        _print(runs, given.rounds, len(texts))


def _print(runs: dict[str, Run], rounds: int, count: int) -> None:
    wanted = runs["transformers float32"]()
    vectors = {name: run() for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begin)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    print("| runtime | sentences/s | mean cosine | least |\n|---|---|---|---|")
    for name in runs:
        near = cosines(vectors[name], wanted)
        speed = count / statistics.median(times[name])
        print(f"| {name} | {speed:.1f} | {float(near.mean()):.5f} | {float(near.min()):.5f} |")


def _batches(embedder: Embedder, texts: list[str]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """(rows, ids, mask)"""
    from runtime_py.embedding.tokens import TextEncoder

    file = embedder.bundle.file("tokenizer")
    assert file is not None
    tokens = TextEncoder(file, max_length=embedder.settings.max_length).encode(texts)
    order = sorted(range(len(texts)), key=lambda row: len(tokens[row].ids))
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        length = max(len(tokens[row].ids) for row in rows)
        ids = torch.zeros(len(rows), length, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(tokens[row].ids)] = torch.tensor(tokens[row].ids)
            mask[place, : len(tokens[row].ids)] = 1
        yield rows, ids, mask


def _all(model: Any, batches: list[tuple[list[int], Tensor, Tensor]], count: int) -> Tensor:
    found: list[Tensor | None] = [None] * count
    with torch.no_grad():
        for rows, ids, mask in batches:
            for row, value in zip(rows, model(ids, mask), strict=True):
                found[row] = value
    return torch.stack([each for each in found if each is not None])


class _Pooled(nn.Module):
    """transformers' encoder, the mean of the tokens, length 1."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).float()
        return nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=1)


def _transformers(folder: Path) -> _Pooled:
    from transformers import AutoModel

    return _Pooled(AutoModel.from_pretrained(folder)).eval()


def _onnx(model: nn.Module, work: Path, threads: int) -> Callable[[Tensor, Tensor], Tensor] | None:
    """None if a package is missing; prints how to install it."""
    try:
        import onnxruntime
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        print(f"ONNX Runtime is left out, {error.name} is missing: "
              "pip install onnxruntime onnx", file=sys.stderr)  # fmt: skip
        return None
    ids = torch.ones(2, 9, dtype=torch.int64)
    axes = {0: "batch", 1: "length"}
    torch.onnx.export(
        model, (ids, ids), str(work / "float.onnx"), input_names=["ids", "mask"],
        output_names=["vectors"], dynamo=False, opset_version=17,
        dynamic_axes={"ids": axes, "mask": axes, "vectors": {0: "batch"}},
    )  # fmt: skip
    quantize_dynamic(work / "float.onnx", work / "int8.onnx", weight_type=QuantType.QInt8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(work / "int8.onnx"), options)

    def run(ids: Tensor, mask: Tensor) -> Tensor:
        given = {"ids": ids.numpy(), "mask": mask.numpy()}
        return torch.from_numpy(session.run(["vectors"], given)[0])

    return run


if __name__ == "__main__":
    main()
