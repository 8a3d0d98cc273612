"""Gemma 3 with vision (arXiv:2503.19786): SigLIP, pooled to 256 tokens of an image, which attend
to each other in both directions in the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import TYPE_CHECKING, Any

from llm_export.models.families.config_values import ConfigReader
from llm_export.models.families.keymap import KeyMap
from llm_export.models.vision.config import ProjectorConfig, Size, TowerConfig, VisionConfig
from llm_export.models.vision.families.base import VisionFamily, part, read_text, square
from llm_export.models.vision.families.siglip_names import (
    POOLING,
    SIGLIP,
    SIGLIP_DEFAULTS,
    flat_patches,
    read_encoder,
)

if TYPE_CHECKING:
    from torch import Tensor


def _from_hf(config: Mapping[str, Any], image_size: Size | None) -> VisionConfig:
    """A ``Gemma3Config`` as dict -> VisionConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader("gemma3", config)
    language = read_text(config, "gemma3_text", tied=True)
    v = part(config, "vision_config", SIGLIP_DEFAULTS)
    side, patch = square(v, "image_size"), square(v, "patch_size")
    encoder, channels = read_encoder(v), v.expect("num_channels", 3)
    v.take_unused("vision_use_head")
    v.finish()
    if image_size not in (None, (side, side)):
        raise ValueError(f"images of this model have {side} x {side} pixels, and no other size")
    tower = TowerConfig(
        "siglip", encoder, patch, (side, side), (side // patch, side // patch), channels
    )
    tokens = c.count("mm_tokens_per_image", before=256)
    factor = tower.grid[0] // isqrt(tokens)
    projector = ProjectorConfig(
        "pool", tower.grid, encoder.hidden, language.hidden_size, factor,
        norm_eps=encoder.eps, bias=False,
    )  # fmt: skip
    if projector.tokens != tokens:
        raise ValueError(
            f"{tower.grid[0]} x {tower.grid[1]} patches do not pool to {tokens} tokens"
        )
    token = c.take("image_token_index", before=c.take("image_token_id", before=262144))
    settings = {
        f"{name}_token_id": c.count(
            f"{name}_token_index", before=c.take(f"{name}_token_id", before=default)
        )
        for name, default in (("boi", 255999), ("eoi", 256000))
    }
    c.take_unused("text_config", "vision_config", "tie_word_embeddings")
    c.finish()
    return VisionConfig(
        "gemma3", language, tower, projector, tower.image, tokens,
        c.counted("image_token_index", token), bidirectional=True, settings=settings,
    )  # fmt: skip


def _restore(name: str, tensor: Tensor, config: VisionConfig) -> Tensor:
    if name == "projector.linear.weight":
        return tensor.transpose(0, 1)
    if name == "projector.norm.weight":  # Gemma's norms multiply by 1 + weight
        return tensor.float() + 1
    return flat_patches(name, tensor, config)


GEMMA3 = VisionFamily(
    name="gemma3",
    architecture="Gemma3ForConditionalGeneration",
    text="gemma3_text",
    from_hf=_from_hf,
    prefixes=(
        (r"(model\.)?vision_tower\.(vision_model\.)?", "tower"),
        (r"(model\.)?multi_modal_projector\.", "projector"),
    ),
    keys=KeyMap(
        [
            *SIGLIP,
            ("projector.mm_input_projection_weight", "projector.linear.weight"),
            ("projector.mm_soft_emb_norm.weight", "projector.norm.weight"),
        ],
        ignored=[POOLING],
    ),
    restore=_restore,
    tiny={
        "": {"image_token_index": 300, "mm_tokens_per_image": 4, "boi_token_index": 301,
             "eoi_token_index": 302},
        "text_config": {
            "model_type": "gemma3_text", "vocab_size": 320, "hidden_size": 64,
            "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 16, "intermediate_size": 96, "sliding_window": 8,
            "query_pre_attn_scalar": 16, "max_position_embeddings": 512, "pad_token_id": 0,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
        "vision_config": {
            "model_type": "siglip_vision_model", "hidden_size": 48, "intermediate_size": 96,
            "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
            "vision_use_head": False,
        },
    },
)  # fmt: skip
