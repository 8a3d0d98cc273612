"""Nodes of an OmegaConf config that are null.

OmegaConf's public access returns None for a null block and so loses the dataclass that it may
hold. Written for omegaconf 2.3.
"""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig


def child_node(node: DictConfig, key: str) -> Any:
    """The node at a key, which may be null."""
    return node._get_node(key)


def declared_type(node: DictConfig) -> Any:
    """The dataclass that a node may hold by its declaration."""
    return node._metadata.ref_type


def is_null(node: DictConfig) -> bool:
    return node._is_none()
