"""Round the weights of a model as its rules say, on the recipe's calibration text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from llm_export.config.schema import Recipe
from llm_export.pipeline.artifacts import Prepared
from llm_export.pipeline.stage import RunContext
from llm_export.quant.grid import Grid
from llm_export.quant.inputs import input_ranges, outlier_channels, with_outliers
from llm_export.quant.rounding.base import Rounded
from llm_export.quant.rounding.resume import FinishedLayers
from llm_export.quant.rules import LayerQuantSpec
from llm_export.stages.quantization.calibration import calibration_windows
from llm_export.stages.quantization.offset_order import ordered_offsets
from llm_export.stages.quantization.rounding import rounded_weights
from llm_export.transforms.base import Transform
from llm_export.transforms.quantize import by_grids


@dataclass(frozen=True)
class QuantizedWeights:
    """
    Attributes:
        choices: the rules' choices, with how each weight was rounded.
        grids: name -> quantized weight.
        training_db: name -> SQNR to the values in quantization-aware training, where there was one.
        outliers: name -> input channels that are kept in float32.
        finished: saved layers, to delete once the weights are in the model.
    """

    choices: tuple[LayerQuantSpec, ...]
    grids: Mapping[str, Grid]
    training_db: Mapping[str, float]
    outliers: Mapping[str, Tensor]
    finished: FinishedLayers | None

    def transform(self) -> Transform:
        """Puts the weights into the model."""
        return by_grids(self.choices, self.grids, self.outliers)


def quantized_weights(
    artifact: Prepared, recipe: Recipe, ctx: RunContext, outliers: Mapping[str, Tensor]
) -> QuantizedWeights:
    """Round.

    Args:
        outliers: what ``found_outliers`` returned, with the artifact's choices.
    """
    rounded, finished = rounded_weights(artifact, recipe, ctx, outliers)
    choices = tuple(_with_outcome(c, rounded.get(c.name)) for c in artifact.choices)
    grids = ordered_offsets(artifact, recipe, rounded, outliers)
    training = {n: o.training_db for n, o in rounded.items() if o.training_db is not None}
    return QuantizedWeights(choices, grids, training, outliers, finished)


def found_outliers(
    artifact: Prepared, recipe: Recipe
) -> tuple[tuple[LayerQuantSpec, ...], dict[str, Tensor]]:
    """The choices, which now say how many outlier channels each module has, and name -> those
    channels, on the calibration text."""
    able = [c for c in artifact.choices if c.outliers]
    if not able:
        return tuple(artifact.choices), {}
    windows = calibration_windows(recipe.quant.calibration, artifact.source, artifact.model)
    ranges = input_ranges(artifact.model, [c.name for c in able], windows)
    channels = outlier_channels(ranges, able)
    return tuple(with_outliers(c, channels) for c in artifact.choices), channels


def _with_outcome(choice: LayerQuantSpec, rounded: Rounded | None) -> LayerQuantSpec:
    if rounded is None:
        return choice
    return replace(choice, rounding=rounded.how, sqnr_db=rounded.sqnr_db)
