"""Size, quality and speed of quantization options on one model, as a table for the docs.

python benchmarks/quality_table.py                         all variants, into docs/quality.md
python benchmarks/quality_table.py --only 8da8w 8da4w      some variants; other rows stay
python benchmarks/quality_table.py --measure-speed-only    only the speed of existing bundles

Each variant is exported, and its program is compared with the float32 model on 4,000 positions of
the verification text. Then the speed of all programs is measured in turns, in several rounds, each
in a separate process; the table has the medians. Existing bundles are reused unless --rebuild is
given, so the command can be interrupted and repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
RECIPE = "smollm2_135m_xnnpack_8da8w"
PAGE = REPO / "docs" / "quality.md"
EVIDENCE = REPO / "llm_export" / "data" / "quant_evidence.json"
POSITIONS = 4000

# Row name -> overrides.
VARIANTS: dict[str, list[str]] = {
    "none": ["quant=none"],
    "8da8w": ["quant=8da8w"],
    "8da8w, 8-bit KV cache": ["quant=8da8w", "quant.kv_cache=int8"],
    "8da4w_asym, 4 outliers": [
        "quant=8da4w_asym", "quant.outliers=4",
        "quant.rules=[{kind: linear, scheme: 8da4w, group_size: 32, zero_point: true, outliers: 4},"
        "{kind: head, scheme: 8da8w, outliers: 4}, {kind: embedding, scheme: 8w}]",
    ],
    "8da4w_asym": ["quant=8da4w_asym"],
    "8da4w_asym_small": ["quant=8da4w_asym_small"],
    "8da4w": ["quant=8da4w"],
    "8da4w, min-max": [
        "quant=8da4w", "quant.rounding.method=minmax", "verify.quality.max_mean_kl=2",
    ],
}  # fmt: skip

# Measured separately with each tool's own commands, on the same weights and comparable text.
OTHERS = (
    ("ExecuTorch export_llm 8da4w", 106.0, 0.53, 0.57),
    ("ExecuTorch export_llm 8da8w", 166.0, 0.022, None),
    ("llama.cpp Q8_0", 144.8, 0.0042, None),
    ("llama.cpp Q4_K_M", 105.5, 0.056, None),
    ("llama.cpp Q4_0", 91.7, 0.29, None),
    ("OpenVINO int8", 143.9, 0.0080, None),
    ("OpenVINO int4", 94.7, 0.32, None),
    ("ONNX Runtime int4", 90.0, 0.39, None),
)


def build(name: str, out: Path, rebuild: bool) -> None:
    """Export a variant unless its bundle exists."""
    if rebuild or not (out / "run.json").is_file():
        words = [*VARIANTS[name], f"verify.positions={POSITIONS}", "benchmark=off", f"out={out}"]
        command = [sys.executable, "-m", "llm_export", "run", RECIPE, *words]
        print(" ".join(command[2:]), flush=True)
        subprocess.run(command, check=True, cwd=REPO)


def quality(out: Path) -> dict[str, Any]:
    """Figures of a bundle's evidence."""
    facts = {s["name"]: s["facts"] for s in json.loads((out / "run.json").read_text())["stages"]}
    compared = facts["verify"]["comparisons"]["quality"]
    choices = facts["quantize"]["quantization"]
    weights = sum(c["shape"][0] * c["shape"][1] for c in choices if not c.get("shared_with"))
    return {
        "bytes": facts["lower"]["bytes"],
        "predicted_bytes": facts["lower"]["predicted_bytes"],
        "bits_per_weight": 8 * sum(c["bytes"] for c in choices) / weights,
        **{k: compared[k] for k in ("perplexity", "mean_kl", "p99_kl", "top1_agreement")},
        "positions": compared["positions"],
        "reference_perplexity": compared["reference_perplexity"],
    }


def speeds(outs: dict[str, Path], rounds: int) -> dict[str, dict[str, Any]]:
    """Decode and prefill tokens per second of all bundles, measured in turn."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in outs}
    for index in range(rounds):
        for name, out in outs.items():
            print(f"speed, round {index + 1} of {rounds}: {name}", flush=True)
            command = [sys.executable, "-m", "runtime_py.benchmark", str(out), "--json",
                       "--repetitions", "1"]  # fmt: skip
            done = subprocess.run(command, check=True, cwd=REPO, capture_output=True, text=True)
            found[name].append(json.loads(done.stdout))

    def median(rows: list[dict[str, Any]], key: str) -> float:
        return statistics.median(r[key]["median"] for r in rows)

    return {
        name: {
            "decode": median(rows, "decode_tokens_per_second"),
            "prefill": median(rows, "prefill_tokens_per_second"),
            "peak_memory": max(r["peak_memory_bytes"] for r in rows),
            "processor": rows[0]["machine"]["processor"],
        }
        for name, rows in found.items()
    }


def render(rows: dict[str, dict[str, Any]]) -> str:
    """The text of docs/quality.md."""
    first = next(iter(rows.values()))
    processors = ", ".join(sorted({r["speed"]["processor"] for r in rows.values() if "speed" in r}))
    lines = [
        "# Quality of quantization",
        "",
        "How much each quant option changes the model, and how fast its program runs. Generated by",
        "`python benchmarks/quality_table.py`.",
        "",
        "SmolLM2-135M-Instruct (weights from a Q4_1 GGUF) on XNNPACK. The `.pte` is compared with",
        f"the float32 eager model on {first['positions']:,} positions of the verification text",
        f"(float32 perplexity {first['reference_perplexity']:.2f}). KL is in nats, MB is 10^6",
        "bytes, and bits per weight count each stored tensor once. Speed: a prompt of 512 tokens,",
        f"128 decoded tokens, 2 threads, medians of programs measured in turns ({processors}).",
        "",
        "| quant | MB | bits per weight | perplexity | mean KL | p99 KL | top-1 | decode tok/s "
        "| prefill tok/s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        speed = row.get("speed")
        decode, prefill = (
            (f"{speed['decode']:.1f}", f"{speed['prefill']:.0f}") if speed else ("–", "–")
        )
        lines.append(
            f"| {name} | {row['bytes'] / 1e6:.1f} | {row['bits_per_weight']:.2f} "
            f"| {row['perplexity']:.2f} | {row['mean_kl']:.2g} | {row['p99_kl']:.2g} "
            f"| {row['top1_agreement']:.3f} | {decode} | {prefill} |"
        )
    lines += [
        "",
        "Other tools on the same weights and comparable text, each measured with its own commands:",
        "",
        "| tool | MB | mean KL | top-1 |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {size} | {kl} | {'–' if top1 is None else top1} |"
        for name, size, kl, top1 in OTHERS
    ]
    return "\n".join(lines) + "\n"


def evidence(rows: dict[str, dict[str, Any]]) -> str:
    """The text of quant_evidence.json: the rows that are a quant option as it is shipped."""
    kept = [
        {"quant": name, "bytes": row["bytes"], "mean_kl": float(f"{row['mean_kl']:.2g}"),
         "top1": round(row["top1_agreement"], 3)}
        for name, row in rows.items()
        if VARIANTS[name] == [f"quant={name}"]
    ]  # fmt: skip
    model = {"model": "SmolLM2-135M-Instruct", "option": "smollm2_135m"}
    body = {**model, "backend": "xnnpack", "rows": kept}
    return json.dumps(body, indent=1) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=REPO / "outputs" / "quality")
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rebuild", action="store_true")
    parser.add_argument("--measure-speed-only", action="store_true")
    given = parser.parse_args()
    outs = {name: given.out / name.replace(", ", "_").replace(" ", "_") for name in VARIANTS}
    for name in [] if given.measure_speed_only else given.only:
        build(name, outs[name], given.rebuild)
    built = {name: out for name, out in outs.items() if (out / "run.json").is_file()}
    measured = speeds(built, given.rounds) if given.rounds else {}
    rows = {name: quality(out) for name, out in built.items()}
    for name, speed in measured.items():
        rows[name]["speed"] = speed
    (given.out / "rows.json").write_text(json.dumps(rows, indent=2))
    PAGE.parent.mkdir(exist_ok=True)
    part = PAGE.with_suffix(".part")
    part.write_text(render(rows))
    part.replace(PAGE)
    EVIDENCE.write_text(evidence(rows), encoding="utf-8")
    print(PAGE.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
