"""Saved results of runs: folders as a run leaves them, with the figures that a test says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from llm_export.compare.in_turns import spread

MACHINE = {"processor": "Some CPU", "logical_cpus": 2, "physical_cpus": 2, "features": ["avx2"],
           "governor": None}  # fmt: skip
KL, TOP1 = (0.0095, 0.009, 0.01), (0.93, 0.92, 0.94)
RECIPE: dict[str, Any] = {
    "name": "a", "model": {"config": {"vocab_size": 320}}, "verify": {"text": None},
    "quant": {"name": "8da8w", "rules": [{"scheme": "8da8w"}]},
}  # fmt: skip


def samples(mean: float, count: int = 8, *, seed: int = 0, noise: float = 0.01) -> list[float]:
    """Measurements with a relative noise."""
    draw = Random(seed)
    return [mean * (1 + draw.gauss(0, noise)) for _ in range(count)]


def sampled(values: Sequence[float]) -> dict[str, Any]:
    return spread(list(values))


def benchmark(
    decode: Sequence[float], prefill: Sequence[float] | None = None, **settings: Any
) -> dict[str, Any]:
    """benchmark.json, as an idle machine with two CPUs measures it."""
    fast = prefill or [10 * value for value in decode]
    chosen = {"prompt_length": 512, "decode_length": 128, "warmup": 1,
              "repetitions": len(decode), "threads": 2, **settings}  # fmt: skip
    return {
        "settings": chosen, "machine": MACHINE,
        "conditions": {"load_average_before": 0.1, "other_cpus": 0.01, "disturbed": False},
        "load_seconds": 0.5,
        "time_to_first_token_seconds": sampled([chosen["prompt_length"] / v for v in fast]),
        "prefill_tokens_per_second": sampled(fast),
        "decode_tokens_per_second": sampled(decode),
        "peak_memory_bytes": 500_000_000, "bare_memory_bytes": 300_000_000,
    }  # fmt: skip


def proof(
    kl: tuple[float, float, float] = KL, top1: tuple[float, float, float] = TOP1,
    word: str = "good",
) -> dict[str, Any]:  # fmt: skip
    """Of the manifest: value and interval of both metrics."""
    quality = {
        "positions": 1000, "mean_kl": kl[0], "top1_agreement": top1[0], "perplexity": 20.0,
        "intervals": {"mean_kl": {"low": kl[1], "high": kl[2]},
                      "top1_agreement": {"low": top1[1], "high": top1[2]}},
    }  # fmt: skip
    return {"verified": True, "verdict": {"word": word}, "comparisons": {"quality": quality}}


def save(
    folder: Path,
    speed: Mapping[str, Any] | None = None,
    *,
    proved: Mapping[str, Any] | None = None,
    recipe: Mapping[str, Any] = RECIPE,
    program: int = 1_000_000,
    schemes: Mapping[str, tuple[str, int]] | None = None,
    versions: Mapping[str, str] | None = None,
) -> Path:
    """A folder with manifest.json, run.json and, unless ``speed`` is None, benchmark.json.

    Args:
        schemes: module -> its scheme, and the bytes that the quantize stage counted.
    """
    folder.mkdir(parents=True)
    manifest = {
        "name": folder.name, "proof": proved or proof(), "roles": {"program": "model.pte"},
        "files": {"model.pte": {"bytes": program, "sha256": ""}},
        "program": {"context_length": 2048},
    }  # fmt: skip
    rows = [{"name": n, "scheme": s, "bytes": b} for n, (s, b) in (schemes or {}).items()]
    run = {
        "name": folder.name, "stages": [{"name": "quantize", "facts": {"quantization": rows}}],
        "recipe": {**recipe, "out": str(folder)}, "versions": versions or {"torch": "2.13.0"},
        "machine": {"cpu": "Some CPU", "logical_cpus": 2},
    }  # fmt: skip
    files = {"manifest.json": manifest, "run.json": run, "benchmark.json": speed}
    for name, body in files.items():
        if body is not None:
            (folder / name).write_text(json.dumps(body), encoding="utf-8")
    return folder
