"""AWQ: scale input channels so that rounding loses least where inputs are large.

https://arxiv.org/abs/2306.00978. A channel with large average inputs needs finer steps than its
group's scale allows: its column of W is multiplied by s and its input divided by s. s is a power
of the mean input magnitude; the exponent is searched per folding pair, by the output error of the
quantized linears on calibration text. The search includes int8 inputs, offsets and outlier
channels, so it balances weight error against activation error, which SmoothQuant fixes in advance.

torchao's prototype divides the inputs at run time. Here the division is folded into the preceding
module and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.moe import MixtureOfExperts
from llm_export.models.decoder import Decoder
from llm_export.models.walk import Inputs, layer_inputs
from llm_export.quant.rules import LayerQuantSpec
from llm_export.transforms.base import Transform
from llm_export.transforms.equivalence import checked_equivalent
from llm_export.transforms.scale_folding import FoldingPair, matching, untie
from llm_export.transforms.simulate import as_quantized

Progress = Callable[[int, int], None]
_ROWS = 4096
"""Number of rows of a weight to evaluate; of larger ones (output heads) every n-th row."""
_LEAST = 1e-4


def awq(
    calibration: Sequence[Sequence[int]],
    choices: Sequence[LayerQuantSpec],
    *,
    steps: int = 10,
    pattern: str = ".*",
    keep_grids: bool = True,
    with_head: bool = True,
    found: dict[str, float] | None = None,
    progress: Progress = lambda done, total: None,
) -> Transform:
    """A transform that scales the inputs of every linear to be quantized.

    Args:
        calibration: windows of token ids, each at most the context long.
        choices: the resolved rules; see ``quant.rules.resolve_rules``.
        steps: exponents to try: 0, 1/steps ... 1.
        pattern: regular expression of the names of linears.
        keep_grids: whether a weight that lies on a grid is rounded to it; the power 0 then
            loses nothing of such a weight, and it stays.
        with_head: whether the output matrix takes part, which unties it from the embedding.
        found: is given name of a place's first linear -> its power.
    """
    by_name = {c.name: c for c in choices if c.scheme != "none"}
    powers = [i / steps for i in range(steps + 1)]

    def apply(model: Decoder) -> int:
        rules = {m: by_name[n] for n, m in model.named_modules() if n in by_name}
        places: dict[nn.Module, list[tuple[str, FoldingPair]]] = {}
        for name, edge in matching(model, pattern, "quant.awq.pattern", with_head=with_head):
            if any(c in rules for c in edge.consumers):
                places.setdefault(_part(model, name), []).append((name, edge))
        if model.head in places:
            untie(model)

        def watched(layer: nn.Module) -> list[nn.Module]:
            here = [edge.consumers[0] for _, edge in places.get(layer, [])]
            return [*here, layer.feed_forward.router.gate] if here and _routed(layer) else here  # type: ignore[union-attr,list-item]

        total = len(model.layers) + 1
        for done, (part, inputs) in enumerate(layer_inputs(model, calibration, watched)):
            shares = _shares(part, inputs)
            for name, edge in places.get(part, []):
                x = inputs[edge.consumers[0]]
                trials = [_Trial.of(c, rules[c], x, shares) for c in edge.consumers if c in rules]
                power, scale = _search(edge, trials, powers, keep_grids)
                edge.fold(scale)
                if found is not None:
                    found[name] = power
            progress(done + 1, total)
        return sum(len(here) for here in places.values())

    return checked_equivalent("awq", "scaling by AWQ", apply, calibration[0])


@dataclass(frozen=True)
class _Trial:
    """One linear: its weight [N, K], inputs [T, K], and target outputs [T, N].

    Attributes:
        share: of an expert, how much of each token it makes, [T, 1].
    """

    weight: Tensor
    choice: LayerQuantSpec
    x: Tensor
    share: Tensor | None
    wanted: Tensor

    @staticmethod
    def of(
        linear: nn.Module, choice: LayerQuantSpec, x: Tensor, shares: dict[nn.Module, Tensor]
    ) -> _Trial:
        weight, share = linear.weight, shares.get(linear)
        assert isinstance(weight, Tensor)
        # Rows are rounded independently, so a subset of them is representative.
        weight = weight.detach().float()[:: -(-weight.shape[0] // _ROWS)]
        if share is not None:
            reached = share != 0
            x, share = x[reached], share[reached].unsqueeze(-1)
        return _Trial(weight, choice, x, share, F.linear(x, weight))

    def error(self, columns: Tensor, keep: bool) -> float:
        """Squared output error with inputs divided by ``columns`` [K]; 0 for an expert that no
        token reached.
        """
        if not len(self.x):
            return 0.0
        off = as_quantized(self.weight * columns, self.choice, self.x / columns, keep) - self.wanted
        return float((off if self.share is None else off * self.share).double().square().sum())


def _search(
    edge: FoldingPair, trials: Sequence[_Trial], powers: Sequence[float], keep_grids: bool
) -> tuple[float, Tensor]:
    """The exponent with the least total error over all linears, and its scale."""
    rows = torch.cat([trial.x.abs() for trial in trials])
    magnitude = edge.by_head(rows.sum(0) / max(len(rows), 1)).mean(1).flatten().clamp(min=_LEAST)
    best: tuple[float, float, Tensor] | None = None
    for power in powers:
        scale = magnitude**power
        scale = scale / (scale.max() * scale.min()).sqrt()
        columns = edge.columns(scale)
        error = sum(trial.error(columns, keep_grids and power == 0) for trial in trials)
        if best is None or error < best[0]:
            best = (error, power, scale)
    assert best is not None
    return best[1], best[2]


def _part(model: Decoder, name: str) -> nn.Module:
    """The layer that a module is in, or the output matrix."""
    found = name.split(".")
    return model.layers[int(found[1])] if found[0] == "layers" else model.head


def _routed(layer: nn.Module) -> bool:
    return isinstance(getattr(layer, "feed_forward", None), MixtureOfExperts)


def _shares(layer: nn.Module, inputs: Inputs) -> dict[nn.Module, Tensor]:
    """Linear of an expert -> the weight that the router gives the expert for each token, [T]."""
    if not _routed(layer):
        return {}
    mixture = layer.feed_forward
    assert isinstance(mixture, MixtureOfExperts)
    if mixture.router.gate not in inputs:
        return {}
    weights = mixture.router(inputs[mixture.router.gate].unsqueeze(0))[0]
    return {
        linear: weights[:, index]
        for index, expert in enumerate(mixture.experts)
        for linear in expert.modules()
    }
