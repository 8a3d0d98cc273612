"""XNNPACK partitioner whose partitions never span several layers of the model."""

from __future__ import annotations

import re
from collections import defaultdict

from torch import fx
from torch.export import ExportedProgram

from llm_export.compat.operators import operator_name
from llm_export.compat.xnnpack_partitioner import (
    Partition,
    XnnpackPartitioner,
    is_constant_data,
)

_NUMBER = re.compile(r"(?:^|\.)(\d+)(?:\.|$)")


class LayerwisePartitioner(XnnpackPartitioner):
    """Takes everything that XNNPACK supports, including dynamically quantized linears and the
    operators around them, and cuts at layer boundaries. Each delegate then contains the weights of
    one layer only and layers have equal graphs, so repeated layers are lowered once.
    """

    def generate_partitions(self, ep: ExportedProgram) -> list[Partition]:
        layers = layers_of(ep)
        cut: list[Partition] = []
        for whole in super().generate_partitions(ep):
            parts: dict[int, list[fx.Node]] = defaultdict(list)
            for node in whole.nodes:
                parts[layers[node]].append(node)
            cut += [Partition(len(cut) + i, part) for i, part in enumerate(parts.values())]
        return cut


class CutsOutside(XnnpackPartitioner):
    """Leaves views of whole inputs to the program, where they cost nothing: a delegate would copy
    a cache of which a part is cut from the view.
    """

    def generate_partitions(self, ep: ExportedProgram) -> list[Partition]:
        kept: list[Partition] = []
        for whole in super().generate_partitions(ep):
            nodes = [node for node in whole.nodes if not _view_of_input(node)]
            kept += [Partition(len(kept), nodes)] if nodes else []
        return kept


def _view_of_input(node: fx.Node) -> bool:
    is_view = operator_name(node.target) == "aten::view_copy"
    return is_view and node.all_input_nodes[0].op == "placeholder"


def layers_of(ep: ExportedProgram) -> dict[fx.Node, int]:
    """Node -> layer number, -1 before the first layer, and one more than the last layer's after it.
    Any other node outside the layers gets the number of the last layer that it depends on. Numbers
    never decrease from a node to its users, so cuts by number create no cycles. Constants, and
    nodes computed only from constants, get the number of their users.
    """
    layers: dict[fx.Node, int] = {}
    fixed: set[fx.Node] = set()
    last = max((_own(node) for node in ep.graph.nodes), default=-1)
    for node in ep.graph.nodes:
        sources = node.all_input_nodes
        if is_constant_data(ep, node) or (sources and fixed.issuperset(sources)):
            fixed.add(node)
        layers[node] = max([_own(node), *(layers[n] for n in sources)])
        if layers[node] == last >= 0 and _path(node) is not None and _own(node) < 0:
            layers[node] += 1
    for node in reversed(ep.graph.nodes):
        if node in fixed and node.users:
            layers[node] = min(layers[user] for user in node.users)
    return layers


def _own(node: fx.Node) -> int:
    """Layer number of the first numbered module on the node's path, e.g. ``layers.3.attention``."""
    path = _path(node)
    found = None if path is None else _NUMBER.search(path)
    return int(found[1]) if found else -1


def _path(node: fx.Node) -> str | None:
    """The module that the node comes from; None for nodes that a pass has inserted."""
    paths = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
    return max(paths, key=len) if paths else None
