"""SigLIP's part of a composed checkpoint: its config, its names, its layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_export.models.families.config_values import ConfigReader
from llm_export.models.families.layers import activation
from llm_export.models.vision.config import EncoderConfig

if TYPE_CHECKING:
    from torch import Tensor

    from llm_export.models.vision.config import VisionConfig

SIGLIP_DEFAULTS: Mapping[str, Any] = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "num_channels": 3, "image_size": 224, "patch_size": 16,
    "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
}  # fmt: skip
"""Values that transformers takes for keys which the config of a SigLIP leaves out."""

LAYER, OURS = "tower.encoder.layers.{i}", "tower.layers.{i}"

ENCODER = [
    *((f"{LAYER}.self_attn.{x}_proj.{{leaf}}", f"{OURS}.attention.{x}.{{leaf}}") for x in "qkv"),
    (f"{LAYER}.self_attn.out_proj.{{leaf}}", f"{OURS}.attention.out.{{leaf}}"),
    (f"{LAYER}.layer_norm1.{{leaf}}", f"{OURS}.attention_norm.{{leaf}}"),
    (f"{LAYER}.layer_norm2.{{leaf}}", f"{OURS}.ffn_norm.{{leaf}}"),
    (f"{LAYER}.mlp.fc1.{{leaf}}", f"{OURS}.feed_forward.up.{{leaf}}"),
    (f"{LAYER}.mlp.fc2.{{leaf}}", f"{OURS}.feed_forward.down.{{leaf}}"),
]
"""Also CLIP's."""
SIGLIP = [
    *ENCODER,
    ("tower.embeddings.patch_embedding.{leaf}", "tower.patches.linear.{leaf}"),
    ("tower.embeddings.position_embedding.weight", "tower.positions"),
    ("tower.post_layernorm.{leaf}", "tower.norm.{leaf}"),
]
POOLING = r"tower\.head\..*"
"""The head that pools the features into one, which language models do not read."""


def read_encoder(c: ConfigReader) -> EncoderConfig:
    """The transformer's sizes."""
    hidden, heads = c.count("hidden_size"), c.count("num_attention_heads")
    if hidden % heads:
        raise ValueError(f"hidden_size {hidden} is not a multiple of {heads} heads")
    return EncoderConfig(
        hidden=hidden,
        ffn=c.count("intermediate_size"),
        layers=c.count("num_hidden_layers"),
        heads=heads,
        activation=activation(c),
        eps=c.number("layer_norm_eps"),
    )


def flat_patches(name: str, tensor: Tensor, config: VisionConfig) -> Tensor:
    """The patch convolution [D, C, p, p] as a linear [D, C * p * p]."""
    return tensor.flatten(1) if name == "tower.patches.linear.weight" else tensor
