"""Which layers of a model have experts, and the number of experts, as many configs state them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llm_export.errors import CheckpointError, excerpt
from llm_export.models.config import FeedForwardConfig, LayerConfig, MoEConfig, RouterConfig
from llm_export.models.families.config_values import ConfigReader


def chosen_of(c: ConfigReader, key: str, chosen: int, experts: int) -> int:
    """``chosen``, the experts of a token.

    Raises:
        CheckpointError: there are more of them than experts.
    """
    if chosen > experts:
        raise CheckpointError(
            f"{key}={excerpt(chosen)} of {experts} experts",
            where=f"family '{c.family}', model.config",
        )
    return chosen


def after_dense(
    c: ConfigReader, layer: LayerConfig, sparse: MoEConfig, count: int, usual: int | None = None
) -> tuple[LayerConfig, ...]:
    """``layer``, with experts in those after the first ``first_k_dense_replace``.

    Args:
        usual: the format's default; None: the config has to state it.
    """
    key = "first_k_dense_replace"
    first = c.take(key) if usual is None else c.take(key, before=usual)
    if isinstance(first, bool) or not isinstance(first, int) or first < 0:
        raise CheckpointError(
            f"config key {key}={excerpt(repr(first))} is not a number of layers",
            where="model.config",
        )
    return tuple(layer if i < first else replace(layer, feed_forward=sparse) for i in range(count))


def every(
    c: ConfigReader, layer: LayerConfig, sparse: MoEConfig, count: int
) -> tuple[LayerConfig, ...]:
    """``layer``, with experts in every ``decoder_sparse_step``-th but ``mlp_only_layers``: Qwen."""
    step, dense = c.count("decoder_sparse_step", before=1), c.take("mlp_only_layers", before=None)
    return tuple(
        layer if i in (dense or []) or (i + 1) % step else replace(layer, feed_forward=sparse)
        for i in range(count)
    )


def multiple(expert: FeedForwardConfig, times: int) -> FeedForwardConfig:
    """A network as wide as several experts."""
    return replace(expert, size=expert.size * times)


def corrected_router(c: ConfigReader, **usual: Any) -> RouterConfig:
    """The router of DeepSeek-V3 (arXiv:2412.19437, section 2.1.2): sigmoid scores, selected by a
    learned correction from the best groups.

    Args:
        usual: the format's defaults of ``norm_topk_prob``, ``routed_scaling_factor``, ``n_group``
            and ``topk_group``; the config has to state the others.
    """
    before = {key: {"before": value} for key, value in usual.items()}
    experts, key = c.count("n_routed_experts"), "num_experts_per_tok"
    return RouterConfig(
        "sigmoid", experts, chosen_of(c, key, c.count(key), experts),
        normalize=c.flag("norm_topk_prob", **before.get("norm_topk_prob", {})),
        scaling=c.number("routed_scaling_factor", **before.get("routed_scaling_factor", {})),
        groups=c.count("n_group", **before.get("n_group", {})),
        groups_per_token=c.count("topk_group", **before.get("topk_group", {})),
        correction=True,
    )  # fmt: skip


ONE_GROUP = {"n_group": 1, "topk_group": 1}
"""Defaults of a format whose experts are not grouped."""
