"""Overrides of keys inside a null block: ``quant.awq.steps=10``, ``quant.rotate={}``."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from llm_export.compat.omegaconf_nodes import child_node, declared_type, is_null


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
