"""InternVL 3 and 3.5 (arXiv:2504.10479) in the format of transformers: InternViT, pixel shuffle and
an MLP, and a decoder of the Qwen families. A large image is cut into tiles of the tower's size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.config import NormConfig
from llm_export.models.families.config_values import ConfigReader
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import HIDDEN_ACTIVATIONS, activation
from llm_export.models.vision.config import ProjectorConfig, Size, VisionConfig
from llm_export.models.vision.families.base import VisionFamily, fits, part, read_text, square
from llm_export.models.vision.families.siglip_names import flat_patches
from llm_export.models.vision.towers.configs import InternViTConfig

NAME = "internvl"
_TOWER: Mapping[str, Any] = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
    "attention_bias": False, "use_qk_norm": False, "intermediate_size": 4096,
    "hidden_act": "gelu", "norm_type": "layer_norm", "layer_norm_eps": 1e-6,
    "image_size": 448, "patch_size": 14, "num_channels": 3, "use_mask_token": False,
    "use_absolute_position_embeddings": True, "use_mean_pooling": True,
}  # fmt: skip
"""Values that transformers takes for keys which ``vision_config`` leaves out."""
_NORMS = {"layer_norm": "layer", "rms_norm": "rms"}
_TRAINING = (
    "hidden_dropout_prob", "attention_dropout", "projection_dropout", "layer_scale_init_value",
)  # fmt: skip


def _tower(v: ConfigReader, image_size: Size | None) -> InternViTConfig:
    side, patch = square(v, "image_size"), square(v, "patch_size")
    image = fits(image_size or (side, side), patch, "whole patches")
    if image != (side, side):
        raise ValueError(f"the tower has learned positions for images of {side} x {side} pixels")
    norm = _NORMS[v.expect("norm_type", *_NORMS)]
    config = InternViTConfig(
        image=image,
        patch=patch,
        channels=v.expect("num_channels", 3),
        hidden=v.count("hidden_size"),
        heads=v.count("num_attention_heads"),
        ffn=v.count("intermediate_size"),
        layers=v.count("num_hidden_layers"),
        activation=activation(v),
        norm=NormConfig(v.number("layer_norm_eps"), norm, bias=norm == "layer"),
        bias=v.flag("attention_bias"),
        qk_norm=v.flag("use_qk_norm"),
        placed=v.flag("use_absolute_position_embeddings"),
        norm_last=not v.flag("use_mean_pooling"),
    )
    v.expect("use_mask_token", False)
    v.take_unused(*_TRAINING)
    v.finish()
    return config


def _from_hf(config: Mapping[str, Any], image_size: Size | None) -> VisionConfig:
    """An ``InternVLConfig`` as dict -> VisionConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    language = read_text(config, "qwen2", tied=True)
    tower = _tower(part(config, "vision_config", _TOWER), image_size)
    factor = {0.5: 2, 1.0: 1, 0.25: 4}[c.expect("downsample_ratio", 0.5, 1.0, 0.25, before=0.5)]
    fits(tower.image, tower.patch * factor, "whole tokens")
    c.expect("vision_feature_layer", -1, before=-1)
    c.expect("vision_feature_select_strategy", "default", before="default")
    act = c.expect("projector_hidden_act", *HIDDEN_ACTIVATIONS, before="gelu")
    projector = ProjectorConfig(
        "shuffle_mlp", tower.grid, tower.hidden, language.hidden_size, factor,
        activation=HIDDEN_ACTIVATIONS[act], norm_eps=1e-5,
    )  # fmt: skip
    image_token = c.count("image_token_id", before=151667)
    c.take_unused("text_config", "vision_config", "tie_word_embeddings", "image_seq_length")
    c.finish()
    return VisionConfig(
        NAME, language, tower, projector, tower.image, projector.tokens, image_token
    )


_L, _OURS = "tower.encoder.layer.{i}", "tower.layers.{i}"
KEYS = KeyMap(
    [
        ("tower.embeddings.cls_token", "tower.class_token"),
        ("tower.embeddings.position_embeddings", "tower.positions"),
        ("tower.embeddings.patch_embeddings.projection.{leaf}", "tower.patches.linear.{leaf}"),
        *((f"{_L}.attention.{x}_proj.{{leaf}}", f"{_OURS}.{x}.{{leaf}}") for x in "qkv"),
        *((f"{_L}.attention.{x}_norm.weight", f"{_OURS}.{x}_norm.weight") for x in "qk"),
        (f"{_L}.attention.projection_layer.{{leaf}}", f"{_OURS}.out.{{leaf}}"),
        (f"{_L}.layernorm_before.{{leaf}}", f"{_OURS}.attention_norm.{{leaf}}"),
        (f"{_L}.layernorm_after.{{leaf}}", f"{_OURS}.ffn_norm.{{leaf}}"),
        (f"{_L}.mlp.fc1.{{leaf}}", f"{_OURS}.feed_forward.up.{{leaf}}"),
        (f"{_L}.mlp.fc2.{{leaf}}", f"{_OURS}.feed_forward.down.{{leaf}}"),
        (f"{_L}.lambda_1", f"{_OURS}.attention_scale"),
        (f"{_L}.lambda_2", f"{_OURS}.ffn_scale"),
        ("tower.layernorm.{leaf}", "tower.norm.{leaf}"),
        ("projector.layer_norm.{leaf}", "projector.norm.{leaf}"),
        ("projector.linear_1.{leaf}", "projector.up.{leaf}"),
        ("projector.linear_2.{leaf}", "projector.down.{leaf}"),
    ]
)


INTERNVL = VisionFamily(
    name=NAME,
    architecture="InternVLForConditionalGeneration",
    text="qwen2",
    from_hf=_from_hf,
    prefixes=(
        (r"(model\.)?vision_tower\.", "tower"),
        (r"(model\.)?multi_modal_projector\.", "projector"),
    ),
    keys=KEYS,
    restore=flat_patches,
    tiny={
        "": {"image_token_id": 300, "image_seq_length": 4},
        "text_config": {
            "model_type": "qwen2", "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96,
        },
        "vision_config": {
            "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 2, "image_size": 16, "patch_size": 4,
        },
    },
)  # fmt: skip
