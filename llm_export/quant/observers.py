"""Transfer the quantization ranges of a prepared graph to another graph of the same model, by
name.

The training graph has no cache and takes a whole window; the program's graph has a cache. Both
have the same modules, so each observer is identified by the module, operator, and input or output
that it observes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from llm_export.quant.nodes import innermost_module

Place = tuple[str, str, int, str]
"""Module, operator, index of the module's call of it, and the input ("0", "1") or "out"."""

Ranges = Mapping[Place, Mapping[str, Tensor]]
"""Place -> the state of its observer."""


# torchao's default minimum scale, 2^-12, is too coarse for small channels of real models.
_EPS = torch.finfo(torch.float32).eps


def histogram_observers() -> tuple[Any, Any]:
    """Observers of activation ranges and per-channel weight ranges on calibration text."""
    from torchao.quantization.pt2e import HistogramObserver, PerChannelMinMaxObserver

    return HistogramObserver.with_args(eps=_EPS), PerChannelMinMaxObserver.with_args(eps=_EPS)


def fake_quantizers() -> tuple[Any, Any]:
    """Fake quantizers for training: moving-average ranges for activations, current per-channel
    ranges for weights.

    The fused kind is not used: its minimum scale differs, and its scales are not exactly those of
    conversion.
    """
    from torchao.quantization.pt2e import (
        FakeQuantize,
        MovingAverageMinMaxObserver,
        MovingAveragePerChannelMinMaxObserver,
    )

    weights = MovingAveragePerChannelMinMaxObserver.with_args(averaging_constant=1.0)
    return (
        FakeQuantize.with_args(observer=MovingAverageMinMaxObserver, eps=_EPS),
        FakeQuantize.with_args(observer=weights, eps=_EPS),
    )


def observers(graph: GraphModule) -> dict[str, nn.Module]:
    """The modules that PT2E inserted to observe or fake-quantize, by name."""
    return {node.target: graph.get_submodule(node.target) for node in _observing(graph)}  # type: ignore[misc,arg-type]


def places(
    graph: GraphModule, name_of: Callable[[str], str] = lambda name: name
) -> dict[Place, str]:
    """Every observed place -> the name of its observer; several places may share one.

    Args:
        name_of: name of a graph's module -> its name in the places.
    """
    seen: Counter[tuple[str, str]] = Counter()
    found: dict[Place, str] = {}
    observing = set(_observing(graph))
    for node in graph.graph.nodes:
        if node.op != "call_function":
            continue
        call = (name_of(innermost_module(node)), str(node.target))
        near = [(str(i), arg) for i, arg in enumerate(node.all_input_nodes)]
        near += [("out", user) for user in node.users]
        for role, observer in near:
            if observer in observing and _asked(node, role):
                found[(*call, seen[call], role)] = observer.target
        seen[call] += 1
    return found


def collect_ranges(graph: GraphModule, name_of: Callable[[str], str] = lambda name: name) -> Ranges:
    """The ranges of all observers of the graph."""
    states = {
        name: {k: v.detach().clone() for k, v in observer.state_dict().items()}
        for name, observer in observers(graph).items()
    }
    return {place: states[name] for place, name in places(graph, name_of).items()}


def load_ranges(
    graph: GraphModule, ranges: Ranges, name_of: Callable[[str], str] = lambda name: name
) -> tuple[int, list[Place]]:
    """Load ranges into the observers of a graph, which then stop observing.

    Returns the number of observers that got a range, and the places without a known range.
    """
    known: dict[str, Mapping[str, Tensor]] = {}
    unknown: dict[str, Place] = {}
    for place, name in places(graph, name_of).items():
        if place in ranges:
            known[name] = ranges[place]
        else:
            unknown[name] = place
    for name, state in known.items():
        observer = graph.get_submodule(name)
        observer.load_state_dict(dict(state))
        observing(observer, False)
    return len(known), [place for name, place in unknown.items() if name not in known]


def observing(observer: nn.Module, on: bool) -> None:
    """Whether inputs update the range. Plain observers always observe."""
    enable = getattr(observer, "enable_observer", None)
    if enable is not None:
        enable(on)


def rounding(observer: nn.Module, on: bool) -> None:
    """Whether inputs are rounded. Plain observers never round."""
    enable = getattr(observer, "enable_fake_quant", None)
    if enable is not None:
        enable(on)


def _asked(node: Node, role: str) -> bool:
    """Whether the quantizer annotated this place itself, not only a neighbouring one."""
    annotation = node.meta.get("quantization_annotation")
    if annotation is None:
        return False
    return bool(annotation.output_qspec if role == "out" else annotation.input_qspec_map)


def _observing(graph: GraphModule) -> Iterator[Node]:
    from torchao.quantization.pt2e import ObserverBase
    from torchao.quantization.pt2e.fake_quantize import FakeQuantizeBase

    for node in graph.graph.nodes:
        if node.op == "call_module":
            module = graph.get_submodule(str(node.target))
            if isinstance(module, (ObserverBase, FakeQuantizeBase)):
                yield node
