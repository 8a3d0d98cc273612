"""SmoothQuant: move activation outliers into weights before dynamic quantization.

https://arxiv.org/abs/2211.10438. For a linear y = W x and any positive vector s, W x = (W diag(s))
(x / s). The division is folded into the producer of x (a norm's weight or the rows of another
linear). The float model stays equivalent, and int8 activations, which share one scale per token,
lose less. ``smooth_refine`` can then adjust s to the recipe's own rules.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from llm_export.models.contract import TextReader
from llm_export.models.decoder import Decoder
from llm_export.quant.inputs import input_ranges, input_rows
from llm_export.quant.layer_spec import LayerQuantSpec
from llm_export.transforms.base import Transform
from llm_export.transforms.equivalence import checked_equivalent
from llm_export.transforms.scale_folding import FoldingPair, matching, untie
from llm_export.transforms.smooth_refine import TOKENS, Rounding, refined


def smooth(
    calibration: Sequence[Sequence[int]],
    alpha: float,
    pattern: str = ".*",
    *,
    with_head: bool = True,
    choices: Sequence[LayerQuantSpec] = (),
    steps: int = 0,
) -> Transform:
    """A transform that smooths every linear whose inputs can be scaled.

    Args:
        calibration: windows of token ids, each at most the context long.
        alpha: 0 leaves activations alone, 1 moves all of their range into the weights.
        pattern: regular expression of the names of linears.
        with_head: whether the output matrix takes part, which unties it from the embedding.
        choices: how the model's weights will be rounded; the scales of others are not refined.
        steps: of the descent that refines the scales.
    """
    rounded = {c.name: made for c in choices if (made := Rounding.of(c)) is not None}

    def apply(model: TextReader) -> int:
        chosen = matching(model, pattern, "quant.smooth.pattern", with_head=with_head)
        if isinstance(model, Decoder) and any(model.head in edge.consumers for _, edge in chosen):
            untie(model)
        names = [name for name, _ in chosen]
        if steps:
            ranges, rows = input_rows(model, names, calibration, TOKENS)
        else:
            ranges, rows = input_ranges(model, names, calibration), {}
        for name, edge in chosen:
            scale = smoothing_scale(edge, ranges[name], alpha)
            if steps and name in rounded:
                scale = refined(edge, scale, rows.pop(name), rounded[name], steps)
            edge.fold(scale)
        return len(chosen)

    return checked_equivalent("smooth", "smoothing", apply, calibration[0])


def smoothing_scale(edge: FoldingPair, inputs: Tensor, alpha: float) -> Tensor:
    """One scale per row of the producers, from the largest inputs of the consumers' columns."""
    weights = torch.stack([c.weight.abs().amax(0) for c in edge.consumers]).amax(0)  # type: ignore[operator]
    inputs, weights = (edge.by_head(v).amax(1).flatten() for v in (inputs, weights))
    scale = inputs.clamp(min=1e-5) ** alpha / weights.clamp(min=1e-5) ** (1 - alpha)
    return scale / scale.log().mean().exp()
