"""Programs of one layer's attention for one token, which read keys and values from their inputs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.compat.edge_config import edge_config
from llm_export.models.components.attention_cores import KINDS, Core, CoreShape, Ring
from llm_export.models.components.step import Step
from llm_export.transforms.attention import require_custom_ops

_CONTEXT = 8192
_LAYER, _ALL = 64 << 20, 128 << 20
"""Bytes of a layer's cache in float32, and of those of all layers that take turns: enough to leave
the processor's caches between two turns of a layer."""
_LAYERS = 16


@dataclass(frozen=True)
class Probe:
    """What is measured.

    Attributes:
        shape: heads of the layer.
        slots: tokens of its cache, of which half are filled.
        layers: caches that take turns.
    """

    shape: CoreShape
    slots: int
    layers: int

    @property
    def position(self) -> int:
        return self.slots // 2


def probe_of(layers: Sequence[CoreShape], context: int) -> Probe:
    """The most frequent layer of a model, one without a window if there is any."""
    whole = [shape for shape in layers if shape.window is None]
    shape, count = Counter(whole or layers).most_common(1)[0]
    row = 4 * 2 * shape.num_kv_heads * shape.head_dim
    slots = max(8, min(context, _CONTEXT, _LAYER // row))
    turns = max(1, min(count, _LAYERS, math.ceil(_ALL / (row * slots))))
    return Probe(shape, slots, turns)


class _Attention(nn.Module):
    def __init__(self, kind: str, probe: Probe) -> None:
        super().__init__()
        ring, window = Ring(probe.slots), probe.shape.window
        self.planner = KINDS[kind].planner({window: ring})
        self.core: Core = KINDS[kind].core(probe.shape, lambda _: ring)
        for module in (self.planner, self.core):
            module.init_buffers()  # type: ignore[operator]

    def kept(self) -> dict[str, Tensor]:
        """The caches that ``attend`` reads, in its order."""
        return dict(self.core.named_buffers())

    def forward(self, q: Tensor, position: Tensor, *kept: Tensor) -> Tensor:
        planned = self.planner(position, position)
        step = Step(planned.plans, (), start=planned.start)
        return self.core.attend(q, *kept, step=step, sinks=None)


def write_programs(probe: Probe, kinds: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Write ``NAME.pte`` for each name -> attention kind.

    Returns:
        what ``timer`` reads: the shapes and dtypes of each program's inputs.
    """
    import executorch.kernels.quantized  # noqa: F401  (out variants of an int8 cache)

    require_custom_ops()
    shape, programs = probe.shape, {}
    for name, kind in kinds.items():
        model = _Attention(kind, probe).eval()
        q = torch.zeros(1, 1, shape.num_heads, shape.head_dim)
        kept = tuple(model.kept().values())
        (folder / f"{name}.pte").write_bytes(_program(model, (q, torch.tensor([1]), *kept)))
        programs[name] = [[list(t.shape), str(t.dtype).removeprefix("torch.")] for t in (q, *kept)]
    return {"programs": programs, "layers": probe.layers, "position": probe.position}


def _program(model: nn.Module, inputs: tuple[Tensor, ...]) -> bytes:
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
    from executorch.exir.passes import MemoryPlanningPass

    exported = torch.export.export(model, inputs, strict=False)
    edge = to_edge_transform_and_lower(exported, compile_config=edge_config(dim_order=False))
    # The runtime would copy inputs into memory of its own.
    planning = MemoryPlanningPass(alloc_graph_input=False)
    config = ExecutorchBackendConfig(memory_planning_pass=planning)
    return bytes(edge.to_executorch(config).buffer)
