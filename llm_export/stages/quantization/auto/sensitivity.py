"""Measure the loss of each candidate separately."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from llm_export.config.quant_schema import ModuleKind, RoundingConfig
from llm_export.quant.auto.units import Option, Unit
from llm_export.quant.inputs import outlier_channels
from llm_export.quant.rules import LayerQuantSpec
from llm_export.stages.quantization.auto.measurements import Losses, Store
from llm_export.stages.quantization.auto.reference import Reference
from llm_export.transforms.temporary_quantize import quantized

Progress = Callable[[int, int], None]


def measure(
    reference: Reference,
    units: Sequence[Unit],
    settings: RoundingConfig,
    ranges: Mapping[str, Tensor],
    store: Store,
    progress: Progress,
) -> Losses:
    """Mean KL of every option of every unit with several, with all other units in float.

    Args:
        ranges: name of module -> largest absolute input of each channel.
        store: saves the losses of each unit as soon as they are measured.
    """
    open_units = [unit for unit in units if len(unit.options) > 1]
    total, done = sum(len(unit.options) for unit in open_units), 0
    for unit in open_units:
        known = store.losses.get(unit.name, {})
        missing = [option for option in unit.options if option.words not in known]
        done += len(unit.options) - len(missing)
        found: dict[str, float] = {}
        if missing:
            reference.start_at(start_of(unit, reference.model.metadata.num_layers))
        for option in missing:
            found[option.words] = _loss(reference, option, settings, ranges)
            done += 1
            progress(done, total)
        if found:
            store.add(unit.name, found)
    return {unit.name: store.losses[unit.name] for unit in open_units}


def start_of(unit: Unit, layers: int) -> int | None:
    """The first layer that the unit changes; ``layers`` means the output head."""
    kinds = {choice.kind for choice in unit.options[0].choices}
    if ModuleKind.embedding in kinds:
        return None
    return layers if ModuleKind.head in kinds else unit.layer


def _loss(
    reference: Reference, option: Option, settings: RoundingConfig, ranges: Mapping[str, Tensor]
) -> float:
    if option.key[0] == "none":
        return 0.0
    return loss_of(reference, option.choices, settings, ranges)


def loss_of(
    reference: Reference,
    choices: Iterable[LayerQuantSpec],
    settings: RoundingConfig,
    ranges: Mapping[str, Tensor],
) -> float:
    """Mean KL with these modules quantized, from the reference's start layer."""
    choices = list(choices)
    outliers = outlier_channels(ranges, choices)
    with quantized(reference.model, choices, settings, outliers), torch.no_grad():
        return reference.mean_kl()


def wants_ranges(units: Iterable[Unit]) -> list[str]:
    """Modules with an option that keeps outliers separate."""
    return sorted(
        {c.name for unit in units for option in unit.options for c in option.choices if c.outliers}
    )
