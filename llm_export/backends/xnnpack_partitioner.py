"""XNNPACK's partitions, none over more than one layer of the model."""

from __future__ import annotations

import re
from collections import defaultdict

from torch import fx
from torch.export import ExportedProgram

from llm_export.compat.xnnpack_partitioner import (
    Partition,
    XnnpackPartitioner,
    is_constant_data,
)

_NUMBER = re.compile(r"(?:^|\.)(\d+)(?:\.|$)")


class LayerwisePartitioner(XnnpackPartitioner):
    """Takes all that XNNPACK can compute, dynamically quantized linears with what is around
    them, and cuts where a layer ends. So the delegates of a layer hold its weights and no
    other's, and layers look alike: what repeats can be lowered once."""

    def generate_partitions(self, ep: ExportedProgram) -> list[Partition]:
        layers = layers_of(ep)
        cut: list[Partition] = []
        for whole in super().generate_partitions(ep):
            parts: dict[int, list[fx.Node]] = defaultdict(list)
            for node in whole.nodes:
                parts[layers[node]].append(node)
            cut += [Partition(len(cut) + i, part) for i, part in enumerate(parts.values())]
        return cut


def layers_of(ep: ExportedProgram) -> dict[fx.Node, int]:
    """Node -> the number of its layer, -1 before the first. What belongs to none is of the last
    layer that it depends on, so that the numbers never fall from a node to what reads it: cuts
    by them make no circles. Constants, and what is made of them alone, are their readers'."""
    layers: dict[fx.Node, int] = {}
    fixed: set[fx.Node] = set()
    for node in ep.graph.nodes:
        sources = node.all_input_nodes
        if is_constant_data(ep, node) or (sources and fixed.issuperset(sources)):
            fixed.add(node)
        layers[node] = max([_own(node), *(layers[n] for n in sources)])
    for node in reversed(ep.graph.nodes):
        if node in fixed and node.users:
            layers[node] = min(layers[user] for user in node.users)
    return layers


def _own(node: fx.Node) -> int:
    """By the first numbered module on the path to what made it: ``layers.3.attention``."""
    paths = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
    found = _NUMBER.search(max(paths, key=len)) if paths else None
    return int(found[1]) if found else -1
