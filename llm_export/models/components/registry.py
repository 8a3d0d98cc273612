"""Components by their config names. To add one, add a file and a line here."""

from __future__ import annotations

from typing import Any

from llm_export.registry import Registry

_HERE = "llm_export.models.components"

NORMS: Registry[Any] = Registry("norm")
NORMS.register("rms", f"{_HERE}.norm:RMSNorm")
NORMS.register("layer", f"{_HERE}.norm:LayerNorm")
NORMS.register("rms_plain", f"{_HERE}.norm:PlainRMSNorm")

ATTENTIONS: Registry[Any] = Registry("attention")
ATTENTIONS.register("grouped_query", f"{_HERE}.attention:Attention")
ATTENTIONS.register("latent", f"{_HERE}.latent_attention:LatentAttention")
ATTENTIONS.register("borrowing", f"{_HERE}.borrowing_attention:BorrowingAttention")

MIXERS: Registry[Any] = Registry("mixer")
MIXERS.register("short_conv", f"{_HERE}.mixers.short_conv:ShortConv")
MIXERS.register("gated_delta", f"{_HERE}.mixers.gated_delta:GatedDeltaNet")
MIXERS.register("mamba2", f"{_HERE}.mixers.mamba2:Mamba2")

FEED_FORWARDS: Registry[Any] = Registry("feed-forward network")
FEED_FORWARDS.register("gated", f"{_HERE}.feed_forward:GatedFeedForward")
FEED_FORWARDS.register("plain", f"{_HERE}.feed_forward:PlainFeedForward")
FEED_FORWARDS.register("moe", f"{_HERE}.moe:MixtureOfExperts")

ROUTERS: Registry[Any] = Registry("router")
ROUTERS.register("softmax", f"{_HERE}.routers:softmax")
ROUTERS.register("best_softmax", f"{_HERE}.routers:best_softmax")
ROUTERS.register("sigmoid", f"{_HERE}.routers:sigmoid")

BLOCKS: Registry[Any] = Registry("block")
BLOCKS.register("pre", f"{_HERE}.block:PreNormBlock")
BLOCKS.register("post", f"{_HERE}.block:PostNormBlock")
BLOCKS.register("sandwich", f"{_HERE}.block:SandwichBlock")
BLOCKS.register("parallel", f"{_HERE}.block:ParallelBlock")
BLOCKS.register("post_sum", f"{_HERE}.block:PostSumNormBlock")
BLOCKS.register("pre_first", f"{_HERE}.block:FirstPreNormBlock")
BLOCKS.register("sandwich_scaled", f"{_HERE}.scaled_sandwich:ScaledSandwichBlock")

ROPE_SCALINGS: Registry[Any] = Registry("RoPE scaling")
for _name in ("none", "linear", "dynamic", "llama3", "yarn", "longrope", "proportional"):
    ROPE_SCALINGS.register(_name, f"{_HERE}.rope_scaling:{_name}")
