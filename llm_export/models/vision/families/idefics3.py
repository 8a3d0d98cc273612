"""Idefics 3 (arXiv:2408.12637) and SmolVLM 1 and 2 (arXiv:2504.05299): SigLIP, pixel shuffle and a
linear, and a decoder of the Llama family. A large image is cut into tiles of the tower's size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llm_export.models.families.config_values import ConfigReader
from llm_export.models.families.keymap import KeyMap
from llm_export.models.vision.config import ProjectorConfig, Size, TowerConfig, VisionConfig
from llm_export.models.vision.families.base import VisionFamily, fits, part, read_text, square
from llm_export.models.vision.families.siglip_names import (
    POOLING,
    SIGLIP,
    flat_patches,
    read_encoder,
)

_TOWER: Mapping[str, Any] = {
    "hidden_size": 1152, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 16, "num_channels": 3, "image_size": 224, "patch_size": 32,
    "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
}  # fmt: skip
"""Values that transformers takes for keys which ``vision_config`` leaves out."""

_TEXT_UNUSED = (
    "_flash_attn_2_enabled", "neftune_noise_alpha", "perceiver_config", "pixel_shuffle_factor",
    "qk_layer_norms", "use_resampler",
)  # fmt: skip
"""Keys of published configs that transformers does not read."""


def _from_hf(name: str) -> Callable[[Mapping[str, Any], Size | None], VisionConfig]:
    def from_hf(config: Mapping[str, Any], image_size: Size | None) -> VisionConfig:
        """An ``Idefics3Config`` or ``SmolVLMConfig`` as dict -> VisionConfig.

        Raises:
            CheckpointError: a key is missing, unknown, or has a value that is not implemented.
        """
        c = ConfigReader(name, config)
        language = read_text(config, "llama", tied=False, unused=_TEXT_UNUSED)
        v = part(config, "vision_config", _TOWER)
        side, patch = square(v, "image_size"), square(v, "patch_size")
        encoder, channels = read_encoder(v), v.expect("num_channels", 3)
        v.take_unused("max_image_size", "size", "use_base_siglip", "tie_word_embeddings")
        v.finish()
        factor = c.count("scale_factor", before=2)
        image = fits(image_size or (side, side), patch * factor, "whole tokens")
        if image[0] != image[1]:
            raise ValueError("the pixel shuffle of this family needs square images")
        tower = TowerConfig(
            "siglip", encoder, patch, image, (side // patch, side // patch), channels
        )
        projector = ProjectorConfig(
            "shuffle", tower.grid, encoder.hidden, language.hidden_size, factor, bias=False
        )
        image_token = c.counted("image_token_id", c.take("image_token_id", before=128257))
        c.take_unused(
            "text_config", "vision_config", "tie_word_embeddings", "vocab_size",
            "use_reentrant_checkpointing", "_pad_token_id",
        )  # fmt: skip
        c.finish()
        return VisionConfig(name, language, tower, projector, image, projector.tokens, image_token)

    return from_hf


PREFIXES = (
    (r"(model\.)?vision_model\.", "tower"),
    (r"(model\.)?connector\.modality_projection\.", "projector"),
)
KEYS = KeyMap([*SIGLIP, ("projector.proj.weight", "projector.linear.weight")], ignored=[POOLING])
_TINY: Mapping[str, Mapping[str, Any]] = {
    "": {"image_token_id": 300, "pad_token_id": 0},
    "text_config": {
        "model_type": "llama", "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
        "intermediate_size": 128, "pad_token_id": 0,
    },
    "vision_config": {
        "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
    },
}  # fmt: skip

IDEFICS3 = VisionFamily(
    name="idefics3",
    architecture="Idefics3ForConditionalGeneration",
    text="llama",
    from_hf=_from_hf("idefics3"),
    prefixes=PREFIXES,
    keys=KEYS,
    restore=flat_patches,
    text_unused=_TEXT_UNUSED,
    tiny=_TINY,
)
SMOLVLM = VisionFamily(
    name="smolvlm",
    architecture="SmolVLMForConditionalGeneration",
    text="llama",
    from_hf=_from_hf("smolvlm"),
    prefixes=PREFIXES,
    keys=KEYS,
    restore=flat_patches,
    text_unused=_TEXT_UNUSED,
    tiny=_TINY,
)
