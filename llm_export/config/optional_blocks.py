"""Overrides of keys inside a null block: ``quant.awq.steps=10``, ``quant.rotate={}``; and inside a
mapping whose keys the schema does not know: ``model.task_options.dimensions=256``."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from llm_export.compat.omegaconf_nodes import child_node, declared_type, is_null

OPEN = {"backend.methods": "", "model.task_options": None, "verify.limits": None}
"""Mappings that take any key -> a value to be overridden; whoever reads them refuses those that it
does not know."""


def _state(block: DictConfig, kind: Any) -> None:
    """``quant.smooth={}`` asks for the block: what an option left open (null) gets its default."""
    for key, usual in OmegaConf.structured(kind).items():
        if usual is not None and block.get(key) is None:
            block[key] = usual


def open_block(cfg: DictConfig, key: str, value: Any) -> None:
    """Set null blocks on the path to ``key`` to their defaults: OmegaConf cannot merge into null.

    Args:
        value: the value to be set. The block at ``key`` itself stays null unless this is a mapping.
    """
    node: Any = cfg
    parts = key.split(".")
    for index, part in enumerate(parts):
        if not isinstance(node, DictConfig) or part not in node:
            return
        child = child_node(node, part)
        if not isinstance(child, DictConfig):
            return
        kind = declared_type(child)
        if is_null(child) and is_dataclass(kind):
            if index == len(parts) - 1 and not isinstance(value, dict):
                return
            node[part] = OmegaConf.structured(kind)
            child = child_node(node, part)
        elif index == len(parts) - 1 and value == {} and is_dataclass(kind):
            _state(child, kind)
        node = child


def open_mapping(cfg: DictConfig, key: str) -> None:
    """Make room for ``key`` in one of ``OPEN``, so that it need not be marked as new with a +."""
    path = next((path for path in OPEN if key.startswith(f"{path}.")), None)
    node = None if path is None else OmegaConf.select(cfg, path)
    if path is None or not isinstance(node, DictConfig):
        return
    *blocks, leaf = key.removeprefix(f"{path}.").split(".")
    with open_dict(cfg):
        for block in blocks:
            if not isinstance(node.get(block), DictConfig):
                node[block] = {}
            node = node[block]
        node.setdefault(leaf, OPEN[path])
