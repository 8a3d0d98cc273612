"""Time and memory of an export, by a linear model that ``benchmarks/fit_cost.py`` fits.

The cost of a stage is a constant plus a linear function of its features. The coefficients are in
``data/cost_model.json``, with the machine on which they were measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import resources

from llm_export.config.schema import Recipe, filled
from llm_export.predict.size import Sizes, checkpoint_bytes, sizes_of, with_instructions
from llm_export.quant.schemes import SCHEMES, Flow
from llm_export.report.references import answer_tokens, skipped_because
from llm_export.resolve.recipe import ResolvedRecipe

MEMORY_MAPPED_ABOVE = 1 << 30
"""Bytes of a float model that ``llm_export.memory`` keeps in files."""

_PASSES = {"mse": 1, "gptq": 2}
"""Rounding method -> its passes over the calibration text."""


@dataclass(frozen=True)
class Prediction:
    """Predicted cost of a run.

    Attributes:
        seconds: of processor time.
        memory: bytes resident at most.
        disk: bytes that files take at most while it runs; ``program`` of them are the .pte.
    """

    seconds: float
    memory: int
    disk: int
    program: int

    def as_dict(self) -> dict[str, float]:
        return asdict(self)

    def summary(self) -> str:
        return (
            f"expects about {_duration(self.seconds)} of CPU time, "
            f"{amount(self.memory)} of memory, {amount(self.disk)} of disk"
        )


@dataclass(frozen=True)
class CostModel:
    """Stage -> feature -> coefficient, of CPU seconds and of bytes resident at most."""

    seconds: Mapping[str, Mapping[str, float]]
    peak: Mapping[str, Mapping[str, float]]


def predict(
    resolved: ResolvedRecipe,
    stages: Iterable[str] | None = None,
    *,
    runs_here: bool | None = None,
) -> Prediction | None:
    """None where the model's shapes are not known before it is loaded (the generic tier).

    Args:
        stages: names of those that will run; None is all.
        runs_here: whether the program runs on the machine of the run; None: on this one, if it
            can.
    """
    recipe = resolved.recipe
    sizes = sizes_of(resolved)
    if sizes is None:
        return None
    if runs_here is None:
        runs_here = not resolved.obstacle_to_running()
    found, model = features(sizes, recipe, runs_here), cost_model()
    wanted = list(model.seconds) if stages is None else [s for s in stages if s in model.peak]
    wanted = [s for s in wanted if _runs(s, recipe)]
    program = with_instructions(sizes.constants)
    return Prediction(
        seconds=sum(_value(model.seconds[s], found) for s in wanted),
        memory=int(max((_value(model.peak[s], found) for s in wanted), default=0)),
        disk=_disk(sizes, recipe, program),
        program=program,
    )


def features(sizes: Sizes, recipe: Recipe, runs_here: bool) -> dict[str, float]:
    """The features of the cost model: gigabytes, billions of parameters, counts."""
    positions = recipe.verify.positions if recipe.verify.enabled else 0
    resident = 0 if _is_memory_mapped(sizes) else sizes.floats
    answers = runs_here and bool(recipe.deploy.questions)
    compared = answers and not skipped_because(recipe, sizes.parameters)
    asked = sizes.parameters / 1e9 if compared else 0.0  # the float model answers questions
    return {
        "one": 1.0,
        "parameters": sizes.parameters / 1e9,
        "scaled": sizes.parameters / 1e9 * _scaled(recipe),
        "refined": sizes.columns / 1e6 * _refining(recipe),
        "calibrated": sizes.parameters / 1e9 * _calibrated(recipe),
        "searched": sizes.parameters / 1e9 * (recipe.quant.rounding.method != "minmax"),
        "resident": resident / 1e9,
        "largest": sizes.largest * 4 / 1e9,
        "program": sizes.constants / 1e9,
        "lowered": float(sizes.lowered * sizes.methods),
        "layers": float(sizes.layers * sizes.methods),
        "verified": sizes.parameters / 1e9 * positions,
        "evaluated": sizes.parameters / 1e9 * _evaluated(recipe),
        "asked": asked,
        "answered": asked * answer_tokens(recipe) * len(recipe.deploy.questions),
    }


def calibrates(recipe: Recipe) -> bool:
    """Whether a run reads the calibration text."""
    static = any(SCHEMES[r.scheme].flow is Flow.pt2e for r in recipe.quant.rules)
    counted = recipe.quant.head_split  # how much of the text its first part is
    return bool(static or recipe.quant.auto or counted or _scaled(recipe) or _calibrated(recipe))


def _scaled(recipe: Recipe) -> int:
    """Calibration tokens times passes over them, for what scales channels."""
    quant = recipe.quant
    passes = int(quant.smooth is not None) + (quant.awq.steps + 2 if quant.awq else 0)
    return passes * quant.calibration.tokens


def _refining(recipe: Recipe) -> int:
    """Steps of gradient descent on the scales of smoothing."""
    smooth = recipe.quant.smooth
    return 0 if smooth is None else smooth.steps


def _calibrated(recipe: Recipe) -> int:
    """Calibration tokens times passes over them, for outlier channels and rounding."""
    quant = recipe.quant
    passes = int(any(rule.outliers for rule in quant.rules))
    if quant.rules:
        passes += _PASSES.get(quant.rounding.method, 0)
    return passes * quant.calibration.tokens


def _evaluated(recipe: Recipe) -> int:
    """Positions of text that evaluation feeds to its models; of other tasks nothing is known."""
    settings = recipe.evaluate
    if not settings.enabled or "text" not in settings.tasks:
        return 0
    return settings.positions * len(settings.layers)


def _is_memory_mapped(sizes: Sizes) -> bool:
    """By its parameters alone: tables of RoPE are made later."""
    return 4 * sizes.parameters > MEMORY_MAPPED_ABOVE


@lru_cache(maxsize=1)
def cost_model() -> CostModel:
    file = resources.files("llm_export.data").joinpath("cost_model.json")
    body = json.loads(file.read_text(encoding="utf-8"))
    return CostModel(body["seconds"], body["peak"])


def _value(coefficients: Mapping[str, float], found: dict[str, float]) -> float:
    return sum(factor * found[name] for name, factor in coefficients.items())


def _runs(stage: str, recipe: Recipe) -> bool:
    enabled = {"verify": recipe.verify.enabled, "benchmark": recipe.benchmark.enabled,
               "evaluate": recipe.evaluate.enabled,
               "train": recipe.train.enabled}  # fmt: skip
    return enabled.get(stage, True)


def _disk(sizes: Sizes, recipe: Recipe, program: int) -> int:
    """The program twice (it is rewritten), the files that a large model is mapped to, the float
    model's logits that the program is compared with, and what is fetched."""
    mapped = logits = 0
    if recipe.verify.enabled:
        logits = 4 * sizes.vocabulary * (recipe.verify.positions + filled(recipe.verify.window))
    if _is_memory_mapped(sizes):
        # Floats, projections that are being fused, and the integers with their scales.
        mapped = int(sizes.floats * 1.1 + sizes.parameters * 1.2)
        if recipe.verify.enabled:
            mapped += sizes.floats
    return 2 * program + mapped + logits + checkpoint_bytes(recipe.checkpoint, sizes.parameters)


def amount(count: float) -> str:
    """Bytes in words."""
    if count < 1e5:
        return f"{count / 1e3:.1f} kB"
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
