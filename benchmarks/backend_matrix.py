"""Run every backend with every shipped quant option that it supports, on the model ``tiny``.

python benchmarks/backend_matrix.py                 all pairs, into docs/backends.md
python benchmarks/backend_matrix.py --only mlx tosa some backends; other rows stay
python benchmarks/backend_matrix.py --missing       pairs without a row, or with a failed one
python benchmarks/backend_matrix.py --render        regenerate the table from stored figures

Each pair is a complete run in a separate process. Figures are stored next to this file, in
backend_matrix.json. The table replaces the text between two markers of the page.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from llm_export import api
from llm_export.backends import BACKENDS
from llm_export.checks.rules import find_problems
from llm_export.config.schema import Recipe

REPO = Path(__file__).resolve().parent.parent
FACTS = Path(__file__).with_suffix(".json")
PAGE = REPO / "docs" / "backends.md"
BEGIN, END = "<!-- matrix -->\n", "<!-- end of matrix -->\n"
QUANTS = ("none", "fp16", "bf16", "8w", "4w", "8da8w", "8da4w", "8a8w")
SMALL = (
    "model=tiny", "benchmark=off", "runtime.context_length=64", "verify.positions=100",
    "verify.window=32", "verify.prefill=12", "quant.max_mean_kl=1",
    "quant.calibration.tokens=256", "quant.calibration.window=32",
)  # fmt: skip


@cache
def pairs() -> tuple[tuple[str, str], ...]:
    """Pairs (backend, quant) that pass the checks, whether or not this machine can lower them."""
    return tuple((b, q) for b in BACKENDS for q in QUANTS if not refusals(b, q))


def refusals(backend: str, quant: str) -> list[str]:
    """Why the checks reject the pair on any machine."""
    return [str(p) for p in find_problems(recipe_of(backend, quant)) if not p.environment]


def recipe_of(backend: str, quant: str) -> Recipe:
    """The two groups do not refer to each other, so each option is composed once."""
    return replace(_composed(f"backend={backend}"), quant=_composed(f"quant={quant}").quant)


@cache
def _composed(choice: str) -> Recipe:
    return api.compose_recipe(None, [*SMALL, choice]).recipe


def lowers_here(backend: str) -> bool:
    return BACKENDS.get(backend).availability().ok


def measure(backend: str, quant: str) -> dict[str, Any]:
    """Run the pair and return the figures of its bundle."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "bundle"
        command = [sys.executable, "-m", "llm_export", "run", *SMALL, "--no-cache",
                   f"backend={backend}",
                   f"quant={quant}", f"out={out}"]  # fmt: skip
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        seconds = time.perf_counter() - start
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("error")]
            return {"lowered": False, "why": (lines or ["error: " + done.stderr[-200:]])[0]}
        return {"lowered": True, "seconds": round(seconds, 1), **facts_of(out)}


def facts_of(bundle: Path) -> dict[str, Any]:
    record = json.loads((bundle / "run.json").read_text(encoding="utf-8"))
    proof = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["proof"]
    lower = next(s["facts"] for s in record["stages"] if s["name"] == "lower")
    inside = lower["delegation"]["delegated_nodes"]
    outside = sum(lower["delegation"]["outside"].values())
    return {
        "ran": proof["verified"],
        "error": proof["comparisons"]["lowering"]["mean_kl"],
        "loss": proof["comparisons"]["quality"]["mean_kl"],
        "bytes": lower["bytes"],
        "delegates": lower["delegation"]["subgraphs"],
        "share": round(inside / (inside + outside), 3),
    }


def table(facts: dict[str, Any]) -> str:
    """The part of the page between the markers."""
    rows = facts["rows"]
    lines = [
        f"Two layers, context 64, ExecuTorch {facts['executorch']}. *Ran*: the program ran on this",
        "machine. *Error*: mean KL divergence in nats between the exported eager model and the",
        "program, or the lowered graph if the program did not run. *Loss*: mean KL divergence",
        "between the float32 model and the program, or the exported model if the program did not",
        "run. *Delegated*: share of operations. *s*: seconds of the whole run, including startup",
        "and verification, on two busy cores.",
        "",
        "| backend | quant | lowered | ran | error | loss | bytes | delegates | delegated | s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in sorted(rows):
        backend, quant = name.split(" ")
        lines.append(f"| {backend} | {quant} | {_cells(rows[name])} |")
    absent = sorted({b for b, _ in pairs()} - {name.split(" ")[0] for name in rows})
    listed = ", ".join(f"`{name}`" for name in absent)
    lines += ["", f"Not lowered here, for lack of a vendor SDK or device: {listed}.", ""]
    lines += ["Rejected before any work, each with its reason: " + _refused() + "."]
    return "\n".join(lines) + "\n"


def _cells(row: dict[str, Any]) -> str:
    if not row["lowered"]:
        return f"no: {row['why']} | | | | | | |"
    return (
        f"yes | {'yes' if row['ran'] else 'no'} | {row['error']:.1g} | {row['loss']:.1g} "
        f"| {row['bytes']:,} | {row['delegates']} | {row['share']:.0%} | {row['seconds']:.0f}"
    )


def _refused() -> str:
    taken = set(pairs())
    found = []
    for backend in sorted(BACKENDS):
        refused = [quant for quant in QUANTS if (backend, quant) not in taken]
        if refused:
            found.append(f"`{backend}` {', '.join(refused)}")
    return "; ".join(found)


def render(facts: dict[str, Any]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    part = PAGE.with_suffix(".part")
    part.write_text(before + BEGIN + table(facts) + END + rest.split(END)[1], encoding="utf-8")
    part.replace(PAGE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="*", choices=list(BACKENDS), default=list(BACKENDS))
    parser.add_argument("--missing", action="store_true", help="only pairs without figures")
    parser.add_argument("--render", action="store_true", help="only regenerate the table")
    given = parser.parse_args()
    installed = version("executorch")
    kept: dict[str, Any] = {"executorch": installed, "rows": {}}
    if FACTS.is_file():
        kept = json.loads(FACTS.read_text(encoding="utf-8"))
    if given.render:
        installed = kept["executorch"]
    # Figures of another ExecuTorch version do not apply.
    old = kept["rows"] if kept["executorch"] == installed else {}
    taken = pairs()
    rows = {name: row for name, row in old.items() if tuple(name.split(" ")) in taken}
    for backend, quant in [] if given.render else taken:
        right = rows.get(f"{backend} {quant}", {}).get("lowered", False)
        if backend in given.only and lowers_here(backend) and not (given.missing and right):
            row = rows[f"{backend} {quant}"] = measure(backend, quant)
            print(f"{backend} {quant}: {row}", flush=True)
    facts = {"executorch": installed, "rows": dict(sorted(rows.items()))}
    part = FACTS.with_suffix(".part")
    part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    part.replace(FACTS)
    render(facts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
