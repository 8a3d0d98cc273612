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

from llm_export.amounts import amount
from llm_export.config.schema import CheckpointConfig, Recipe, filled
from llm_export.models.task import task_of
from llm_export.predict.calibration import work
from llm_export.predict.size import Sizes, checkpoint_bytes, sizes_of, with_instructions
from llm_export.report.references import answer_tokens, skipped_because
from llm_export.resolve.recipe import ResolvedRecipe

MEMORY_MAPPED_ABOVE = 1 << 30
"""Bytes of a float model that ``llm_export.memory`` keeps in files."""


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
    build: bool = True,
) -> Prediction | None:
    """None where ``sizes_of`` knows no sizes.

    Args:
        stages: names of those that will run; None is all.
        runs_here: whether the program runs on the machine of the run; None: on this one, if it
            can.
        build: see ``sizes_of``.
    """
    recipe = resolved.recipe
    sizes = sizes_of(resolved, build=build)
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
    task, spoken = task_of(recipe.model), answer_tokens(recipe) * len(recipe.deploy.questions)
    asked = sizes.parameters / 1e9 if compared else 0.0  # the float model answers questions
    return {
        "one": 1.0,
        "parameters": sizes.parameters / 1e9,
        **work(recipe, sizes.choices, text=task.reads_text, used=sizes.used),
        "unpacked": sizes.parameters / 1e9 * _is_packed(recipe.checkpoint),
        "resident": resident / 1e9,
        "held": min(sizes.floats, MEMORY_MAPPED_ABOVE) / 1e9,
        "largest": sizes.largest * 4 / 1e9,
        "mapped": 0.0 if resident else sizes.largest * 4 / 1e9,
        "compared": resident / 1e9 * any((recipe.quant.smooth, recipe.quant.awq)),
        "probabilities": sizes.vocabulary * 4 / 1e9 * _measured_tokens(recipe),
        "program": sizes.constants / 1e9,
        "lowered": float(sizes.lowered * sizes.methods),
        "layers": float(sizes.layers * sizes.methods),
        "products": sizes.linears * sizes.lowered / max(sizes.layers, 1) * sizes.methods,
        "read": 0.0 if task.decodes else sizes.parameters / 1e9,
        "verified": sizes.parameters / 1e9 * positions,
        "evaluated": sizes.parameters / 1e9 * _evaluated(recipe),
        "asked": asked,
        "spoken": sizes.parameters / 1e9 * spoken * answers,
        "answered": asked * spoken,
    }


def _measured_tokens(recipe: Recipe) -> int:
    """Tokens of which automatic mixed precision holds all probabilities."""
    return 0 if recipe.quant.auto is None else recipe.quant.auto.tokens


def _is_packed(source: CheckpointConfig) -> bool:
    """Whether the weights are integers that are read as floats."""
    place = source.path or (source.package.member if source.package else "")
    return place.endswith(".gguf")


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


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
