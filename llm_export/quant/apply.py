"""Apply choices through torchao."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from llm_export.quant.rules import Choice


def torchao_config(scheme: str, group_size: int | None) -> Any:
    """The torchao config of a scheme; symmetric weights, as the backends' kernels expect."""
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, IntxWeightOnlyConfig
    from torchao.quantization.granularity import PerAxis, PerGroup

    granularity = PerAxis(0) if group_size is None else PerGroup(group_size)
    width = {"8da4w": torch.int4, "8da8w": torch.int8, "8w": torch.int8, "4w": torch.int4}[scheme]
    if scheme.startswith("8da"):
        # Grouped kernels keep their scales in bfloat16; rounding them here rather than in the
        # backend makes the eager model the one that runs.
        scale = None if group_size is None else torch.bfloat16
        return Int8DynamicActivationIntxWeightConfig(
            weight_dtype=width, weight_granularity=granularity, weight_scale_dtype=scale
        )
    return IntxWeightOnlyConfig(weight_dtype=width, granularity=granularity)


def quantize(model: nn.Module, choices: Sequence[Choice]) -> int:
    """Quantize in place as chosen; returns how many modules changed."""
    from torchao.quantization import quantize_

    groups: dict[tuple[str, int | None], set[str]] = defaultdict(set)
    for choice in choices:
        if choice.scheme != "none":
            groups[(choice.scheme, choice.group_size)].add(choice.name)
    for (scheme, group_size), names in groups.items():
        quantize_(
            model,
            torchao_config(scheme, group_size),
            filter_fn=lambda module, name, names=names: name in names,
        )
    return sum(len(names) for names in groups.values())


def is_quantized(weight: torch.Tensor) -> bool:
    from torchao.utils import TorchAOBaseTensor

    data = weight.data if isinstance(weight, nn.Parameter) else weight
    return isinstance(data, TorchAOBaseTensor) or isinstance(weight, TorchAOBaseTensor)
