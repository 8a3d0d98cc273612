"""Fit the cost model with which a run estimates its time and memory.

python benchmarks/fit_cost.py            exports some shapes with random weights (10 minutes) and
                                         writes llm_export/data/cost_model.json
python benchmarks/fit_cost.py --check    exports other shapes and prints estimate and outcome
python benchmarks/fit_cost.py --records BUNDLE_OR_RUN_JSON...
                                         fits the stages that read weights and texts to the records
                                         of runs that are finished

Fits non-negative coefficients per stage by least squares of relative errors, from the records of
the runs. `benchmarks/cost_records.py` prints predicted and actual cost of finished runs.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from llm_export import api
from llm_export.predict.cost import features, predict
from llm_export.predict.size import sizes_of
from llm_export.resolve.recipe import resolve
from llm_export.versions import machine, package_versions

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))
MODEL = REPO / "llm_export" / "data" / "cost_model.json"
OFF = ["verify=off", "benchmark=off"]


def smollm2(layers: int) -> list[str]:
    return [
        "model=smollm2_135m", "checkpoint.package=null", "checkpoint.random_seed=0",
        f"model.config.num_hidden_layers={layers}",
    ]  # fmt: skip


def random(name: str, layers: int) -> list[str]:
    return [
        f"model={name}", "checkpoint.hf_id=null", "checkpoint.random_seed=0",
        f"model.config.num_hidden_layers={layers}",
    ]  # fmt: skip


XNNPACK = ["backend=xnnpack", "quant=8da4w"]
REAL = ["model=smollm2_135m", "backend=xnnpack"]
RUNS = [
    [*smollm2(2), *XNNPACK, *OFF],
    [*smollm2(8), *XNNPACK, *OFF],
    [*smollm2(30), *XNNPACK, *OFF],
    # Random weights of this shape are too noisy to pass verification.
    [*REAL, "quant=8da8w", "benchmark=off", "verify.positions=250"],
    [*REAL, "quant=8da4w", *OFF],
    [*REAL, "quant=8da4w", "quant.calibration.tokens=4096", *OFF],
    [*smollm2(8), "backend=xnnpack", "quant=8da8w", "quant.smooth={steps: 40}", *OFF],
    [*REAL, "quant=8da8w", "benchmark=quick", "verify.positions=500"],
    [*smollm2(6), *XNNPACK, "backend.repeat_layers=false", *OFF],
    [*smollm2(12), "backend=portable", "quant=none", *OFF],
    [*random("llama3_2_1b", 2), *XNNPACK, *OFF],
    [
        *random("llama3_2_1b", 16),
        *XNNPACK,
        "benchmark=off",
        "verify.positions=100",
        "evaluate=quick",
        "evaluate.positions=100",
    ],
    [*random("qwen2_5_0_5b", 24), "backend=xnnpack", "quant=8da8w", *OFF],
]
CHECKS = [
    [*smollm2(16), *XNNPACK, *OFF],
    [*random("qwen3_0_6b", 28), *XNNPACK, *OFF],
    [*random("gemma3_270m", 18), "backend=xnnpack", "quant=8da8w", *OFF],
    [*random("smollm2_360m", 32), *XNNPACK, *OFF],
    [*REAL, "quant=8da4w", "quant.calibration.tokens=2048", *OFF],
    [*REAL, "quant=8da8w", *OFF],
]
RECORDED = ("load", "transform", "quantize", "lower", "verify", "report")
"""Stages that are fitted to records: those of which the cost differs most between recipes."""
PEAKS_RECORDED = ("load", "transform", "quantize", "lower")
"""Of them, those of which the peak is: the others' would need records of large models."""
OPTIONAL = ("verify", "benchmark", "evaluate")
"""Stages that a recipe may switch off."""
# Features of each stage.
SECONDS = {
    "load": ("one", "parameters", "unpacked"),
    "transform": ("one", "parameters", "passed", "powers", "refined", "rotated"),
    "quantize": (
        "one", "parameters", "calibrated", "searched", "iterated", "solved", "columns",
    ),
    "export": ("one", "lowered"),
    "lower": ("one", "lowered", "layers", "program", "products"), "package": ("one", "program"),
    "verify": ("one", "parameters", "verified", "read"), "benchmark": ("one",),
    "evaluate": ("one", "parameters", "evaluated"),
    "report": ("one", "program", "asked", "answered", "spoken"),
}  # fmt: skip
PEAK = {
    "load": ("one", "resident", "largest"),
    "transform": ("one", "resident", "largest", "mapped", "compared", "probabilities"),
    "quantize": ("one", "resident", "largest", "widest", "inputs"), "export": ("one", "resident"),
    "lower": ("one", "resident", "program"), "package": ("one", "resident", "program"),
    "verify": ("one", "held", "largest"), "benchmark": ("one",),
    "evaluate": ("one", "resident", "largest"), "report": ("one", "resident", "program", "asked"),
}  # fmt: skip


def run(words: list[str]) -> tuple[dict[str, float], list[dict[str, Any]], dict[str, Any]]:
    """Features, stage records, and the estimate in the record."""
    resolved = resolve(api.compose_recipe(None, words).recipe)
    sizes = sizes_of(resolved)
    assert sizes is not None
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [sys.executable, "-m", "llm_export", "run", "--no-cache", "--quiet", *words,
                   f"out={out}"]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    print(" ".join(words), file=sys.stderr, flush=True)
    found = features(sizes, resolved.recipe, not resolved.obstacle_to_running())
    return found, record["stages"], record["prediction"]


def fit(names: tuple[str, ...], rows: list[dict[str, float]], values: list[float]) -> Any:
    """Coefficients by name, from relative least squares."""
    weight = 1 / np.maximum(np.array(values), 1.0)  # a second: less is noise
    matrix = np.array([[row[n] for n in names] for row in rows]) * weight[:, None]
    found, _ = nnls(matrix, np.array(values) * weight)
    return {n: float(f"{c:.4g}") for n, c in zip(names, found, strict=True) if c > 0}


def _measured(stage: str, key: str) -> str:
    """The record's key for a cost. A benchmark is a separate process: only wall time is known."""
    return "seconds" if (stage, key) == ("benchmark", "cpu_seconds") else key


def fitted() -> dict[str, Any]:
    runs = [run(words)[:2] for words in RUNS]
    versions = package_versions()
    return {
        **coefficients(runs, list(SECONDS)),
        "fitted": {
            "by": "benchmarks/fit_cost.py", "on": datetime.date.today().isoformat(),
            "cpu": machine().cpu, "runs": len(runs),
            "versions": {name: versions[name] for name in ("torch", "executorch", "torchao")},
        },
    }  # fmt: skip


def coefficients(
    runs: Sequence[tuple[dict[str, float], list[dict[str, Any]]]], stages: Sequence[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """Part of the model -> stage -> coefficients."""
    model: dict[str, dict[str, dict[str, float]]] = {"seconds": {}, "peak": {}}
    for part, named, key in (("seconds", SECONDS, "cpu_seconds"), ("peak", PEAK, "peak_bytes")):
        for stage in stages:
            seen = [
                (row, s[_measured(stage, key)]) for row, records in runs for s in records
                if s["name"] == stage and (stage not in OPTIONAL or s["seconds"] > 1)
            ]  # fmt: skip
            if seen:
                rows, values = zip(*seen, strict=True)
                model[part][stage] = fit(named[stage], list(rows), list(values))
    return model


def refitted(places: list[Path]) -> dict[str, Any]:
    """The present model with the stages that calibrate as the records say."""
    from benchmarks.cost_records import records, row_of

    runs = [row for _, record in records(places) if (row := row_of(record)) is not None]
    model = json.loads(MODEL.read_text(encoding="utf-8"))
    model["seconds"] |= coefficients(runs, RECORDED)["seconds"]
    model["peak"] |= coefficients(runs, PEAKS_RECORDED)["peak"]
    model["fitted"]["calibration"] = {
        "by": "benchmarks/fit_cost.py --records", "on": datetime.date.today().isoformat(),
        "cpu": machine().cpu, "runs": len(runs), "stages": list(RECORDED),
    }  # fmt: skip
    return model


def check() -> None:
    print("| run | CPU s: predicted, actual | peak, MB | .pte, MB |")
    print("| --- | ---: | ---: | ---: |")
    for words in CHECKS:
        prediction = run(words)[2]
        expected = predict(resolve(api.compose_recipe(None, words).recipe))
        assert expected is not None
        was = prediction["outcome"]
        print(
            f"| {' '.join(w for w in words if '=off' not in w)} |"
            f" {expected.seconds:.0f}, {was['seconds']:.0f} |"
            f" {expected.memory / 1e6:.0f}, {was['memory'] / 1e6:.0f} |"
            f" {expected.program / 1e6:.1f}, {was['program'] / 1e6:.1f} |", flush=True,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--records", nargs="+", type=Path, metavar="BUNDLE_OR_RUN_JSON")
    args = parser.parse_args()
    if args.check:
        check()
        return
    model = refitted(args.records) if args.records else fitted()
    MODEL.write_text(json.dumps(model, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
