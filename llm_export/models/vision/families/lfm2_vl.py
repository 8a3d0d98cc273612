"""LFM2-VL and LFM2.5-VL (arXiv:2511.23404): SigLIP 2 NaFlex, pixel unshuffle and an MLP, and a
decoder of the LFM2 family. A large image is cut into tiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import TYPE_CHECKING, Any

from llm_export.models.families.config_values import ConfigReader
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import activation
from llm_export.models.vision.config import ProjectorConfig, Size, TowerConfig, VisionConfig
from llm_export.models.vision.families.base import VisionFamily, fits, part, read_text, square
from llm_export.models.vision.families.siglip_names import (
    POOLING,
    SIGLIP,
    SIGLIP_DEFAULTS,
    read_encoder,
)

if TYPE_CHECKING:
    from torch import Tensor

_TILE = 512
_PREPROCESSING = (
    "do_image_splitting", "encoder_patch_size", "max_image_tokens", "max_num_patches",
    "max_pixels_tolerance", "max_tiles", "min_image_tokens", "min_tiles",
    "use_image_special_tokens", "use_thumbnail",
)  # fmt: skip
"""Keys that the image processor reads, from a file of its own."""


def _from_hf(config: Mapping[str, Any], image_size: Size | None) -> VisionConfig:
    """An ``Lfm2VlConfig`` as dict -> VisionConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader("lfm2_vl", config)
    language = read_text(config, "lfm2", tied=True)
    v = part(config, "vision_config", {**SIGLIP_DEFAULTS, "num_patches": 256})
    patch, side = square(v, "patch_size"), isqrt(v.count("num_patches"))
    encoder, channels = read_encoder(v), v.expect("num_channels", 3)
    v.take_unused("image_size", "vision_use_head")
    v.finish()
    factor, tile = c.count("downsample_factor", before=2), c.count("tile_size", before=_TILE)
    unit = patch * factor
    image = fits(image_size or (tile - tile % unit,) * 2, unit, "whole tokens")
    tower = TowerConfig("naflex", encoder, patch, image, (side, side), channels)
    projector = ProjectorConfig(
        "shuffle_mlp", tower.grid, encoder.hidden, language.hidden_size, factor,
        inner=c.count("projector_hidden_size", before=2560),
        activation=activation(c, "projector_hidden_act", before="gelu"),
        norm_eps=1e-5 if c.flag("projector_use_layernorm", before=True) else None,
        bias=c.flag("projector_bias", before=True),
    )  # fmt: skip
    token = c.take("image_token_id", before=c.take("image_token_index", before=396))
    image_token = c.counted("image_token_id", token)
    c.expect("vision_feature_layer", -1, before=-1)
    c.take_unused(
        "text_config", "vision_config", "tie_word_embeddings", "tie_embedding",
        "vision_feature_select_strategy", *_PREPROCESSING,
    )  # fmt: skip
    c.finish()
    return VisionConfig("lfm2_vl", language, tower, projector, image, projector.tokens, image_token)


def _unread_norm(name: str, config: VisionConfig) -> bool:
    """Some publishers store the projector's norm although their config turns it off."""
    return name.startswith("projector.layer_norm.") and config.projector.norm_eps is None


def _channels_first(name: str, tensor: Tensor, config: VisionConfig) -> Tensor:
    """The patch linear for pixels in the order row, column, channel -> channel, row, column."""
    if name != "tower.patches.linear.weight":
        return tensor
    tower = config.tower
    patches = tensor.reshape(-1, tower.patch, tower.patch, tower.channels)
    return patches.permute(0, 3, 1, 2).flatten(1)


LFM2_VL = VisionFamily(
    name="lfm2_vl",
    architecture="Lfm2VlForConditionalGeneration",
    text="lfm2",
    from_hf=_from_hf,
    prefixes=(
        (r"(model\.)?vision_tower\.(vision_model\.)?", "tower"),
        (r"(model\.)?multi_modal_projector\.", "projector"),
    ),
    keys=KeyMap(
        [
            *SIGLIP,
            ("projector.layer_norm.{leaf}", "projector.norm.{leaf}"),
            ("projector.linear_1.{leaf}", "projector.up.{leaf}"),
            ("projector.linear_2.{leaf}", "projector.down.{leaf}"),
        ],
        ignored=[POOLING],
    ),
    restore=_channels_first,
    ignored=_unread_norm,
    tiny={
        "": {"image_token_id": 300, "projector_hidden_size": 72},
        "text_config": {
            "model_type": "lfm2", "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 3,
            "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96,
            "block_ff_dim": 96, "block_multiple_of": 32, "pad_token_id": 0,
            "layer_types": ["conv", "full_attention", "conv"], "max_position_embeddings": 512,
        },
        "vision_config": {
            "model_type": "siglip2_vision_model", "hidden_size": 48, "intermediate_size": 96,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_patches": 25, "patch_size": 8,
            "vision_use_head": False,
        },
    },
)  # fmt: skip
