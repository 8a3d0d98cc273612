"""The source modules of graph nodes."""

from __future__ import annotations

from torch.fx import Node


def modules_of(node: Node) -> set[str]:
    """Names of the modules, outer and inner, whose code created a node."""
    stack = node.meta.get("nn_module_stack", {})
    return {path.removeprefix("L['self'].") for path, _ in stack.values()}


def innermost_module(node: Node) -> str:
    """Name of the innermost module whose code created a node; empty for the root."""
    paths = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
    return paths[-1].removeprefix("L['self'].") if paths else ""
