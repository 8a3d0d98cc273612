"""A bundle for the tests of its page: its files without a program, with all that a page can show
and names that attack it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llm_export.profile.profile_map import Call, Operation, ProfileMap
from runtime_py.bundle import check_manifest

ATTACK = '</script><img src=x onerror="attacked=1"><!--'
DELEGATE = "XnnpackBackend"


def _spread(*samples: float) -> dict[str, Any]:
    ordered = sorted(samples)
    return {"median": ordered[len(ordered) // 2], "min": ordered[0], "max": ordered[-1],
            "stdev": 0.5, "mean": sum(samples) / len(samples), "samples": list(samples),
            "p50": ordered[len(ordered) // 2], "p90": ordered[-1]}  # fmt: skip


def _compared(mean_kl: float) -> dict[str, Any]:
    return {"positions": 1000, "mean_kl": mean_kl, "top1_agreement": 0.93, "perplexity": 12.5,
            "intervals": {"mean_kl": {"low": mean_kl / 2, "high": 2 * mean_kl}}}  # fmt: skip


PROOF: dict[str, Any] = {
    "verified": True, "positions": 1000,
    "comparisons": {"lowering": _compared(0.007), "quality": _compared(0.009),
                    "floor": _compared(0.008)},
    "verdict": {"word": "good", "meaning": f"a little is lost {ATTACK}",
                "figures": [{"name": "mean_kl", "value": 0.009, "limit": 0.05, "recipe_limit": 0.3,
                             "interval": {"low": 0.0045, "high": 0.018}}],
                "faithful": True, "remarks": [f"short text {ATTACK}"], "advice": "quant=8da8w"},
}  # fmt: skip

SPEED: dict[str, Any] = {
    "schema_version": 2,
    "settings": {"prompt_length": 64, "decode_length": 16, "warmup": 1, "repetitions": 5,
                 "threads": 2},
    "machine": {"processor": f"a chip {ATTACK}", "logical_cpus": 4},
    "conditions": {"load_average_before": 0.1, "other_cpus": 1.5, "disturbed": True},
    "load_seconds": 0.5,
    "load": {"imports_seconds": 0.2, "program_seconds": 0.3, "first_step_seconds": 0.01},
    "time_to_first_token_seconds": _spread(0.11, 0.1, 0.12, 0.1, 0.13),
    "prefill_tokens_per_second": _spread(600.0, 640.0, 533.0, 640.0, 492.0),
    "decode_tokens_per_second": _spread(50.0, 52.5, 49.0, 51.0, 48.0),
    "inter_token_latency_seconds": {"p50": 0.02, "p90": 0.03, "p99": 0.05, "mean": 0.021,
                                    "samples": [0.02, 0.03, 0.05]},
    "bandwidth": {"bytes_per_second": 2e10, "decode_share": 0.35},
    "tests": [{"prompt_length": 64, "depth": depth, "threads": 2,
               "decode_tokens_per_second": _spread(50.0, 49.0)} for depth in (0, 512)],
    "sustained": {"seconds": 60.0, "tokens": 3000, "tokens_per_second": 50.0, "drift": 0.9,
                  "series": [{"seconds": 6.0 * at, "tokens_per_second": 53.0 - at}
                             for at in range(1, 11)]},
    "peak_memory_bytes": 700_000_000,
}  # fmt: skip

EVALUATION: dict[str, Any] = {
    "measured": "2026-01-01", "missing": {"endings": "no such task"},
    "tasks": [{
        "task": "text", "about": f"a text {ATTACK}",
        "columns": [{"name": "mean_kl", "title": "mean KL", "unit": "nats"},
                    {"name": "perplexity"}],
        "scores": [
            {"layer": "float", "count": 100, "values": {"perplexity": 12.0}},
            {"layer": "program", "count": 100, "values": {"mean_kl": 0.01, "perplexity": 12.5},
             "intervals": {"mean_kl": {"low": 0.005, "high": 0.02}},
             "spans": [{"first": 1, "last": 15, "count": 20,
                        "values": {"mean_kl": 0.02, "perplexity": 30.0}},
                       {"first": 16, "last": 63, "count": 80, "values": {"mean_kl": 0.007}}]},
        ],
    }],
}  # fmt: skip

LAYERS = 3
_MODULES = ("attention.qkv", "feed_forward.down")


def _stages() -> list[dict[str, Any]]:
    quantized = [
        {"name": f"layers.{layer}.{name}", "shape": [64, 32], "scheme": "8da8w", "bytes": 2048,
         "sqnr_db": 30.0 + layer}
        for layer in range(LAYERS)
        for name in _MODULES
    ]  # fmt: skip
    made = "2026-01-01T10:00:00+00:00"
    facts: dict[str, dict[str, Any]] = {
        "load": {"format": "hf", "files": {"/home/ada/weights.safetensors": "0" * 64},
                 "remarks": [f"an unusual token {ATTACK}"], "summary": "1 M parameters"},
        "quantize": {"quantization": quantized, "summary": "6 x 8da8w"},
        "lower": {"delegation": {"subgraphs_by_backend": {DELEGATE: 3}, "outside": {"aten.add": 4}},
                  "summary": "3 delegates"},
        "benchmark": {"summary": "decode 50 tokens/s"},
    }  # fmt: skip
    stages = [
        {"name": name, "state": "done", "seconds": 2.0 + at, "cpu_seconds": 1.5,
         "peak_bytes": (at + 1) * 10**8, "facts": facts.get(name, {}), "made": made,
         "reused": at == 0, "error": "", "skipped": False}
        for at, name in enumerate(("load", "quantize", "export", "lower", "benchmark"))
    ]  # fmt: skip
    stages[2]["error"] = f"a failure {ATTACK}"
    return stages


RECORD: dict[str, Any] = {
    "format": 1, "name": ATTACK, "state": "done", "started": "2026-01-01T10:00:00+00:00",
    "stages": _stages(), "choices": {"model": "smollm2_135m"}, "damaged_in_cache": ["lower"],
    "overrides": ["model=tiny", "checkpoint.path=/home/ada/secret/weights", f"name={ATTACK}"],
    "recipe": {"quant": {"name": "8da8w"}, "backend": {"name": "xnnpack", "fallbacks": []},
               "verify": {"lowering": {"max_mean_kl": 0.001, "min_top1": 0.98},
                          "quality": {"max_mean_kl": 0.3}, "noise_factor": 2.0}},
    "notes": [f"a note {ATTACK}"], "versions": {"torch": "2.13.0", "llm_export": "0.2.0"},
    "machine": {"cpu": "a chip", "architecture": "arm64", "logical_cpus": 4,
                "memory_bytes": 8 * 10**9, "system": "Linux", "python": "3.11"},
    "prediction": {"seconds": 9.0, "memory": 10**9, "outcome": {"seconds": 8.0, "memory": 10**9}},
}  # fmt: skip

ANSWERS = [
    {"question": f"Why? {ATTACK}", "answer": f"Because it rains {ATTACK}",
     "reference": "Because it snows", "parts_at": 2},
    {"question": "And?", "answer": "", "problem": "the prompt is too long"},
]  # fmt: skip


def program_map() -> ProfileMap:
    calls: dict[int, Call] = {0: Call(Operation("aten::embedding", "embed", "embedding", 4096))}
    weights = {"embed": 4096, f"odd{ATTACK}": 10}
    for layer in range(LAYERS):
        inside = tuple(Operation("aten::linear", f"layers.{layer}.{name}", "linear", 2048)
                       for name in _MODULES)  # fmt: skip
        own = Operation(DELEGATE, f"layers.{layer}", "delegate")
        calls[2 * layer + 1] = Call(own, inside)
        calls[2 * layer + 2] = Call(Operation("llama::sdpa", f"layers.{layer}.attention",
                                              "attention"))  # fmt: skip
        weights |= {f"layers.{layer}.{name}": 2048 for name in _MODULES}
    return ProfileMap({"forward": calls}, weights)


def profiles() -> list[dict[str, Any]]:
    parts = [{"module": "", "operator": "", "event": "", "kind": "runtime", "seconds": -1e-9,
              "bytes": 0}]  # fmt: skip
    for layer in range(LAYERS):
        parts += [
            {"module": f"layers.{layer}.{name}", "operator": "aten::linear", "event": "x",
             "kind": "linear", "seconds": 0.001 * (layer + 1), "bytes": 2048}
            for name in _MODULES
        ]  # fmt: skip
        parts.append({"module": f"layers.{layer}.attention", "operator": "llama::sdpa",
                      "event": "y", "kind": "attention", "seconds": 0.002, "bytes": 0})  # fmt: skip
    return [{"phase": phase, "summary": f"{phase}: most in linear layers", "parts": parts}
            for phase in ("prefill", "decode")]  # fmt: skip


def manifest(name: str = ATTACK) -> dict[str, Any]:
    body = {
        "format": 1, "name": name, "created": "2026-01-01", "producer": {},
        "model": {"name": "tiny", "family": "llama", "checkpoint": "/home/ada/secret",
                  "parameters": 134_500_000},
        "program": {"methods": ["forward"], "context_length": 2048, "prefill_length": 4,
                    "dynamic_shapes": True, "kv_cache": True, "vocab_size": 9, "logits": "last"},
        "tokenizer": {"bos_id": None, "eos_ids": [], "add_bos": False, "special_tokens": {}},
        "sampling": {"temperature": 0, "top_k": 0, "top_p": 1, "max_new_tokens": 1},
        "requires": {"executorch": "1.5.1", "backends": [DELEGATE], "operators": []},
        "proof": PROOF, "roles": {"program": "model.pte", "tokenizer": "tokenizer.json"},
        "files": {name: {"bytes": 7, "sha256": "0" * 64} for name in ("model.pte",
                                                                     "tokenizer.json")},
    }  # fmt: skip
    check_manifest(body, "manifest")
    return body


FILES: dict[str, Any] = {
    "run.json": RECORD, "parity.json": PROOF, "benchmark.json": SPEED,
    "evaluation.json": EVALUATION, "answers.json": ANSWERS, "profile.json": profiles(),
}  # fmt: skip


def write_bundle(folder: Path, *, name: str = ATTACK, empty: bool = False) -> Path:
    """Write the bundle; ``empty`` writes the manifest only, as where all evidence is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest(name)))
    if not empty:
        for file, body in FILES.items():
            (folder / file).write_text(json.dumps(body))
        program_map().write(folder / "profile_map.json")
    return folder
