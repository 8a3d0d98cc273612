"""Tiny vision-language models of transformers for the generic tier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from parity_tools import sample_ids
from torch import Tensor
from transformers import CONFIG_MAPPING

from llm_export.models.hf.auto_class import IMAGE_TEXT
from llm_export.models.hf.config import build_model, quietly
from llm_export.models.hf.weights import random_model
from llm_export.models.vision.library.follow import followed, sizes_of
from llm_export.models.vision.library.model import LibraryVisionModel
from llm_export.models.vision.library.parts import split
from llm_export.models.vision.sequences import Part, sequence_inputs, sequence_logits

TEXT: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
VISION: dict[str, Any] = {
    "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
# model type -> (type and changes of the text config, of the vision config, other keys)
MEMBERS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "llava": (
        {"model_type": "llama"},
        {"model_type": "clip_vision_model"},
        {"image_token_index": 300},
    ),
    "smolvlm": ({"model_type": "llama"}, {"model_type": "smolvlm_vision"}, {"image_token_id": 300}),
    "aya_vision": (
        {"model_type": "cohere2", "sliding_window": 8, "head_dim": 16},
        {"model_type": "siglip_vision_model"},
        {"image_token_index": 300, "adapter_layer_norm_eps": 1e-5},
    ),
    "vipllava": (
        {"model_type": "llama"},
        {"model_type": "clip_vision_model"},
        {"image_token_index": 300, "vision_feature_layers": [-2, -1, 1]},
    ),
    "deepseek_vl": (
        {"model_type": "llama"},
        {"model_type": "siglip_vision_model"},
        {"image_token_id": 300},
    ),
    "idefics2": (
        {"model_type": "mistral", "sliding_window": None},
        {"model_type": "idefics2_vision"},
        {
            "image_token_id": 300,
            "perceiver_config": {
                "hidden_size": 64, "resampler_n_latents": 4, "resampler_depth": 1,
                "resampler_n_heads": 4, "resampler_head_dim": 16, "num_key_value_heads": 2,
            },
        },
    ),
    "cohere2_vision": (
        {"model_type": "cohere2", "sliding_window": 8, "head_dim": 16},
        {"model_type": "siglip_vision_model"},
        {"image_token_id": 300, "alignment_intermediate_size": 64},
    ),
    "mistral3": (
        {"model_type": "ministral3", "head_dim": 16},
        {"model_type": "pixtral", "head_dim": 12},
        {"image_token_index": 300, "spatial_merge_size": 2},
    ),
    "paligemma": (
        {"model_type": "gemma", "head_dim": 16},
        {"model_type": "siglip_vision_model"},
        {"image_token_index": 300},
    ),
    "ovis2": (
        {"model_type": "qwen2"},
        {"model_type": "ovis2_vision", "vocab_size": 32, "num_visual_indicator_tokens": 5},
        {"image_token_id": 300, "hidden_size": 64},
    ),
    "glm4v": (
        {"model_type": "glm4v_text"},
        {"model_type": "glm4v_vision", "depth": 1, "num_heads": 4, "out_hidden_size": 64},
        {"image_token_id": 300},
    ),
    "blip": (
        {"model_type": "blip_text_model", "num_hidden_layers": 1},
        {"model_type": "blip_vision_model", "num_hidden_layers": 1},
        {"image_token_index": 300},
    ),
}  # fmt: skip


def config_of(model_type: str) -> Any:
    text, vision, more = MEMBERS[model_type]
    made: Any = CONFIG_MAPPING[model_type]
    return made(text_config={**TEXT, **text}, vision_config={**VISION, **vision}, **more)


def outline(config: Any) -> tuple[Any, Any]:
    """(the model without values, what is known of its images)"""
    with torch.device("meta"):
        hf = build_model(config, IMAGE_TEXT)
    return hf, followed(hf, split(hf))


@dataclass
class Member:
    """
    Attributes:
        hf: transformers' model.
        model: the same in parts.
    """

    hf: Any
    model: LibraryVisionModel
    pixels: Tensor

    @property
    def parts(self) -> list[Part]:
        """A text with two images in it."""
        ids = [i for i in sample_ids(16) if i != self.model.config.image_token_id]
        return [ids[:4], self.pixels, ids[4:7], self.pixels, ids[7:]]

    @torch.no_grad()
    def expected(self) -> Tensor:
        """[S, V] of transformers' model."""
        images, ids = self.model.config, list[int]()
        for each in self.parts:
            if isinstance(each, Tensor):
                ids += [images.image_token_id] * images.tokens_per_image
            else:
                ids += each
        pixels = self.pixels[None] if images.stacked else self.pixels
        twice = torch.cat([pixels, pixels], dim=int(images.stacked))
        sizes = sizes_of(self.hf, self.pixels)
        given = {name: torch.tensor([*each, *each]) for name, each in sizes.items()}
        with quietly():
            found: Tensor = self.hf(
                input_ids=torch.tensor([ids]), pixel_values=twice, **given
            ).logits[0]
        return found

    @torch.no_grad()
    def stepped(self, kind: str = "plain", behind: int = 4) -> Tensor:
        """[S, V] by the parts: the last ``behind`` tokens one by one."""
        self.model.set_attention(kind, step_length=64)
        self.model.init_buffers()
        inputs = sequence_inputs(self.model, self.parts)
        return sequence_logits(self.model, inputs, inputs[0].shape[1] - behind)


def whole(model_type: str) -> Any:
    """A random model of transformers."""
    return random_model(config_of(model_type), 0, IMAGE_TEXT)[0].eval()


def member(model_type: str, context: int = 96) -> Member:
    config = config_of(model_type)
    images = outline(config)[1]
    hf = whole(model_type)
    parts = split(hf, images.unused)
    model = LibraryVisionModel(hf, parts, images, context, "plain", all_logits=True)
    generator = torch.Generator().manual_seed(1)
    return Member(hf, model, torch.randn(1, 3, *images.image_size, generator=generator))
