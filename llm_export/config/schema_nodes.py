"""The schema as OmegaConf's nodes. Making them takes as long as a tenth of a composition."""

from __future__ import annotations

import functools
import pickle
from dataclasses import is_dataclass
from typing import Any, cast

from hydra.core.config_store import ConfigStore
from omegaconf import AnyNode, Container, DictConfig, OmegaConf

from llm_export.config.schema import Recipe


def schema_nodes() -> DictConfig:
    """Nodes of a ``Recipe`` of its own for each caller."""
    return cast("DictConfig", pickle.loads(_pickled()))


def typed(cfg: DictConfig) -> DictConfig:
    """``cfg``, with the schema's type at each place.

    A composition begins with the schema, so that most are of its types already, and merging takes a
    third of their time. A block that was null or is deleted by an override is not.
    """
    if is_typed(cfg):
        return cfg
    return cast("DictConfig", OmegaConf.unsafe_merge(schema_nodes(), cfg))


def is_typed(cfg: DictConfig) -> bool:
    """Whether merging ``cfg`` into the schema would change nothing."""
    return _is_whole(cfg, Recipe)


@functools.cache
def store_schema() -> None:
    """Put the schema where Hydra finds it as ``schema/recipe``, once."""
    ConfigStore.instance().store(group="schema", name="recipe", node=Recipe, provider="llm_export")


@functools.cache
def _pickled() -> bytes:
    # Unpickling takes a tenth of the time of making them.
    return pickle.dumps(OmegaConf.structured(Recipe))


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
        return _is_whole(node, kind)
    if (ours.object_type, ours.element_type) != (theirs.object_type, theirs.element_type):
        return False
    element = ours.element_type
    children = content.values() if isinstance(content, dict) else content
    if _is_block(element):
        return all(_is_whole(child, element) for child in children)
    return element is Any or not any(isinstance(child, AnyNode) for child in children)


def _is_whole(node: Any, kind: type) -> bool:
    """Whether a node is a block of this kind, with each of its keys and no other."""
    content, wanted = node.__dict__["_content"], _block(kind).__dict__["_content"]
    return (
        isinstance(content, dict)
        and node._metadata.object_type is kind
        and content.keys() == wanted.keys()
        and all(_alike(child, wanted[key]) for key, child in content.items())
    )


def _is_block(kind: object) -> bool:
    return isinstance(kind, type) and is_dataclass(kind)
