"""LLaVA 1.5 (arXiv:2310.03744): CLIP's features before its last layer, an MLP, and a decoder of
Llama's or another family.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.families.config_values import ConfigReader
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import activation
from llm_export.models.vision.config import ProjectorConfig, Size, TowerConfig, VisionConfig
from llm_export.models.vision.families.base import VisionFamily, part, read_text, square
from llm_export.models.vision.families.siglip_names import ENCODER, flat_patches, read_encoder

_TOWER: Mapping[str, Any] = {
    "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096,
    "num_hidden_layers": 24, "num_attention_heads": 16, "num_channels": 3, "image_size": 336,
    "patch_size": 14, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
}  # fmt: skip
"""Values that transformers takes for keys which ``vision_config`` leaves out."""


def _from_hf(config: Mapping[str, Any], image_size: Size | None) -> VisionConfig:
    """A ``LlavaConfig`` as dict -> VisionConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader("llava", config)
    language = read_text(config, "llama", tied=False)
    v = part(config, "vision_config", _TOWER)
    v.expect("model_type", "clip_vision_model")
    side, patch = square(v, "image_size"), square(v, "patch_size")
    encoder, channels = read_encoder(v), v.expect("num_channels", 3)
    v.take_unused("projection_dim", "vocab_size", "dropout", "initializer_factor")
    v.finish()
    if image_size not in (None, (side, side)):
        raise ValueError(f"images of this model have {side} x {side} pixels, and no other size")
    # Number 0 is the input of the first layer, and -1 the output of the last.
    states = range(encoder.layers + 1)
    layer = states[c.take("vision_feature_layer", before=-2)]
    c.expect("vision_feature_select_strategy", "default", before="default")
    tower = TowerConfig(
        "clip", encoder, patch, (side, side), (side // patch, side // patch), channels,
        feature_layer=layer,
    )  # fmt: skip
    projector = ProjectorConfig(
        "mlp", tower.grid, encoder.hidden, language.hidden_size,
        activation=activation(c, "projector_hidden_act", before="gelu"),
        bias=c.flag("multimodal_projector_bias", before=True),
    )  # fmt: skip
    token = c.take("image_token_index", before=c.take("image_token_id", before=32000))
    c.take_unused(
        "text_config", "vision_config", "tie_word_embeddings", "image_seq_length", "vocab_size",
        "ignore_index",
    )  # fmt: skip
    c.finish()
    return VisionConfig(
        "llava", language, tower, projector, tower.image, projector.tokens,
        c.counted("image_token_index", token),
    )  # fmt: skip


def _after_features(name: str, config: VisionConfig) -> bool:
    """Layers of the tower that run after the features were taken."""
    parts = name.split(".")
    layers = parts[:3] == ["tower", "encoder", "layers"]
    return layers and int(parts[3]) >= (config.tower.feature_layer or 0)


LLAVA = VisionFamily(
    name="llava",
    architecture="LlavaForConditionalGeneration",
    text="llama",
    from_hf=_from_hf,
    prefixes=(
        (r"(model\.)?vision_tower\.(vision_model\.)?", "tower"),
        (r"(model\.)?multi_modal_projector\.", "projector"),
    ),
    keys=KeyMap(
        [
            *ENCODER,
            ("tower.embeddings.patch_embedding.weight", "tower.patches.linear.weight"),
            ("tower.embeddings.class_embedding", "tower.token"),
            ("tower.embeddings.position_embedding.weight", "tower.positions"),
            ("tower.pre_layrnorm.{leaf}", "tower.first_norm.{leaf}"),
            ("projector.linear_1.{leaf}", "projector.up.{leaf}"),
            ("projector.linear_2.{leaf}", "projector.down.{leaf}"),
        ],
        ignored=[r"tower\.post_layernorm\..*", r"tower\.embeddings\.position_ids"],
    ),
    restore=flat_patches,
    ignored=_after_features,
    tiny={
        "": {"image_token_index": 300},
        "text_config": {
            "model_type": "llama", "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
            "intermediate_size": 128, "pad_token_id": 0, "max_position_embeddings": 512,
        },
        "vision_config": {
            "model_type": "clip_vision_model", "hidden_size": 48, "intermediate_size": 96,
            "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
            "projection_dim": 48,
        },
    },
)  # fmt: skip
