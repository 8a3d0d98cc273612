"""Nodes of an OmegaConf config: those that are null, and whether they have a dataclass's types.

OmegaConf's public access returns None for a null block and so loses the dataclass that it may
hold, and tells the types of no node below the first. Written for omegaconf 2.3.
"""

from __future__ import annotations

import functools
from dataclasses import is_dataclass
from typing import Any, cast

from omegaconf import AnyNode, Container, DictConfig, OmegaConf


def child_node(node: DictConfig, key: str) -> Any:
    """The node at a key, which may be null."""
    return node._get_node(key)


def declared_type(node: DictConfig) -> Any:
    """The dataclass that a node may hold by its declaration."""
    return node._metadata.ref_type


def is_null(node: DictConfig) -> bool:
    return node._is_none()


def is_whole_block(node: Any, kind: type) -> bool:
    """Whether a node is a block of this kind, with each of its keys and no other."""
    content, wanted = node.__dict__["_content"], _block(kind).__dict__["_content"]
    return (
        isinstance(content, dict)
        and node._metadata.object_type is kind
        and content.keys() == wanted.keys()
        and all(_alike(child, wanted[key]) for key, child in content.items())
    )


@functools.cache
def _block(kind: type) -> DictConfig:
    """Nodes that nobody changes."""
    return cast("DictConfig", OmegaConf.structured(kind))


def _alike(node: Any, schema: Any) -> bool:
    """Whether a node has the type that ``schema`` has, and so do those in it."""
    ours, theirs = node._metadata, schema._metadata
    if (type(node), ours.ref_type, ours.optional) != (
        type(schema), theirs.ref_type, theirs.optional,
    ):  # fmt: skip
        return False
    if not isinstance(node, Container):
        return True
    content = node.__dict__["_content"]
    if not isinstance(content, dict | list):  # null, missing, or an interpolation
        return content is None
    kind = theirs.object_type if _is_block(theirs.object_type) else theirs.ref_type
    if _is_block(kind):
        return is_whole_block(node, kind)
    if (ours.object_type, ours.element_type) != (theirs.object_type, theirs.element_type):
        return False
    element = ours.element_type
    children = content.values() if isinstance(content, dict) else content
    if _is_block(element):
        return all(is_whole_block(child, element) for child in children)
    return element is Any or not any(isinstance(child, AnyNode) for child in children)


def _is_block(kind: object) -> bool:
    return isinstance(kind, type) and is_dataclass(kind)
