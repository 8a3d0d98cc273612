"""LoRA factors under the decoder's names, and the adapter capacity of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llm_export.checkpoints.adapter import Adapter, Pair
from llm_export.errors import CheckpointError
from llm_export.models.components.lora import Factors
from llm_export.models.config import DecoderConfig
from llm_export.models.families.config_values import Family
from llm_export.models.families.keymap import cut_rows

_WEIGHT = ".weight"
_MERGE = "checkpoint.adapter_mode=merged"


@dataclass(frozen=True)
class Capacity:
    """The adapter capacity of a program at one checkpoint module: b @ a [outputs, inputs] up to
    this rank.
    """

    rank: int
    outputs: int
    inputs: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.outputs, self.inputs


Capacities = Mapping[str, Capacity]
"""Module by Hugging Face name -> capacity."""


def capacities_for(adapter: Adapter) -> dict[str, Capacity]:
    """The minimum capacity for ``adapter``.

    Raises:
        CheckpointError: the adapter does more than add LoRA factors to weights.
    """
    _require_plain(adapter)
    return {
        module: Capacity(adapter.pairs[module][0].shape[0], *shape)
        for module, shape in adapter.shapes.items()
    }


def fitted(adapter: Adapter, capacities: Capacities) -> dict[str, Pair]:
    """A and scale * B of each module, zero-padded where the adapter has no target or a lower rank.

    Raises:
        CheckpointError: the adapter has other targets or sizes, or a higher rank.
    """
    _require_plain(adapter)
    where = str(adapter.folder)
    others = [module for module in adapter.shapes if module not in capacities]
    if others:
        raise CheckpointError(
            f"the adapter changes {len(others)} modules that the program has no adapter for: "
            f"{', '.join(others[:3])}",
            where=where,
            fix=f"an adapter of {_targets(capacities)}, or export the program again with this one",
        )
    pairs = empty(capacities)
    for module, shape in adapter.shapes.items():
        limit = capacities[module]
        a, b = (factor.to(torch.float32) for factor in adapter.pairs[module])
        if shape != limit.shape:
            raise CheckpointError(
                f"the adapter is of another model: {module} is {limit.shape} in the program and "
                f"{shape} here",
                where=where,
                fix=f"its base_model_name_or_path is {adapter.base}",
            )
        rank = a.shape[0]
        if rank > limit.rank:
            raise CheckpointError(
                f"the adapter has rank {rank} at {module}; the program has room for {limit.rank}",
                where=where,
                fix="export the program again with the adapter of the highest rank",
            )
        if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
            raise CheckpointError(f"'{module}' holds values that are not finite", where=where)
        pairs[module][0][:rank] = a
        # The scale is folded into the weights, so adapters with other alphas fit the same program.
        pairs[module][1][:, :rank] = adapter.scale[module] * b
    return pairs


def empty(capacities: Capacities) -> dict[str, Pair]:
    """Zero factors, which give the base model."""
    return {
        module: (
            torch.zeros(capacity.rank, capacity.inputs),
            torch.zeros(capacity.outputs, capacity.rank),
        )
        for module, capacity in capacities.items()
    }


def decoder_factors(
    pairs: Mapping[str, Pair], family: Family, config: DecoderConfig, model: nn.Module
) -> dict[str, Factors]:
    """The factors of the linears of a decoder with unfused projections.

    Raises:
        CheckpointError: a target is not one or several linears of the decoder.
    """
    linears = {
        name + _WEIGHT: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }
    factors: dict[str, Factors] = {}
    for module, (a, b) in pairs.items():
        for target, part in _rows(module, b, family, linears):
            restore = family.restore.get("hf")
            # A layout permutes the rows of a weight, which are the rows of B.
            part = part if restore is None else restore(target, part, config)
            factors[target.removesuffix(_WEIGHT)] = Factors(a, part)
    return factors


def _rows(
    module: str, b: Tensor, family: Family, linears: Mapping[str, nn.Linear]
) -> list[tuple[str, Tensor]]:
    """The decoder weights of a checkpoint module, with the rows of B for each."""
    keys, name = family.keys["hf"], module + _WEIGHT
    target = keys.to_model(name)
    if target is not None and target in linears:
        return [(target, b)]
    found = keys.split(name, linears)
    if found is not None and found[0].cut is cut_rows:
        shapes = [(linears[t].out_features, b.shape[1]) for t in found[1]]
        return list(zip(found[1], cut_rows(b, shapes), strict=True))
    raise CheckpointError(
        f"the adapter changes {module}, which is no linear of the decoder: merge it",
        where="checkpoint.adapter_mode",
        fix=_MERGE,
    )


def _require_plain(adapter: Adapter) -> None:
    """Raises CheckpointError if the adapter does more than add LoRA factors to weights."""
    if adapter.replaced:
        raise CheckpointError(
            f"the adapter replaces {min(adapter.replaced)} as a whole (modules_to_save): it "
            "cannot be kept separate",
            where=str(adapter.folder),
            fix=_MERGE,
        )
    if adapter.fan_in_fan_out:
        raise CheckpointError(
            "the adapter is of matrices that are stored transposed (fan_in_fan_out): it cannot "
            "be kept separate",
            where=str(adapter.folder),
            fix=_MERGE,
        )


def _targets(capacities: Capacities) -> str:
    return ", ".join(sorted({module.rsplit(".", 1)[-1] for module in capacities}))
