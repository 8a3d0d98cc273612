"""The schema as OmegaConf's nodes. Making them takes as long as a tenth of a composition."""

from __future__ import annotations

import functools
import pickle
from typing import cast

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from llm_export.compat.omegaconf_nodes import is_whole_block
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
    return is_whole_block(cfg, Recipe)


@functools.cache
def store_schema() -> None:
    """Put the schema where Hydra finds it as ``schema/recipe``, once."""
    ConfigStore.instance().store(group="schema", name="recipe", node=Recipe, provider="llm_export")


@functools.cache
def _pickled() -> bytes:
    # Unpickling takes a tenth of the time of making them.
    return pickle.dumps(OmegaConf.structured(Recipe))
