"""Counts that no model has. A model is built from its config before its weights are looked at, and
building a million layers, or a tensor of 10^30 rows, does not end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.errors import CheckpointError, excerpt

MAX_LAYERS = 1024
MAX_EXPERTS = 4096
MAX_BLOCKS = 1 << 16
"""Feed-forward blocks of all layers, experts included; the largest models have 25,000."""
MAX_SIZE = 1 << 24
"""Rows or columns of a tensor."""
_MAX_POSITIONS = 1 << 40
_MOST = {
    **dict.fromkeys(("num_hidden_layers", "num_layers", "n_layers", "n_layer", "block_count"),
                    MAX_LAYERS),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "expert_count",
                     "n_shared_experts", "expert_shared_count"), MAX_EXPERTS),
    **dict.fromkeys(("max_position_embeddings", "context_length", "sliding_window",
                     "attention.sliding_window"), _MAX_POSITIONS),
}  # fmt: skip


def require_count(key: str, value: int) -> None:
    """Raise CheckpointError if the count is one that no model has."""
    if value > (most := _MOST.get(key, MAX_SIZE)):
        raise CheckpointError(
            f"config key {key}={excerpt(value)} is larger than {most}", where="model.config"
        )


def require_counts(config: Mapping[str, Any]) -> None:
    """Check the counts of layers and experts in a config that another library builds from, and in
    the mappings inside.

    Raises:
        CheckpointError: as ``require_count``.
    """
    for key, value in config.items():
        if isinstance(value, Mapping):
            require_counts(value)
        elif (key in _MOST and isinstance(value, int)) or (
            key.endswith(("_size", "_dim")) and isinstance(value, int)
        ):
            require_count(key, value)


def require_blocks(counts: list[int]) -> None:
    """Check the number of feed-forward blocks of each layer, their experts included.

    Raises:
        CheckpointError: there are too many.
    """
    if sum(counts) > MAX_BLOCKS:
        raise CheckpointError(
            f"{len(counts)} layers with {sum(counts)} feed-forward blocks, "
            f"of which at most {MAX_BLOCKS} are built",
            where="model.config",
        )
