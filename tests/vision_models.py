"""Tiny vision-language models of transformers, and the same of our components."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import wrapper_models
from torch import Tensor
from transformers import CONFIG_MAPPING, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from llm_export.checkpoints.open import open_checkpoint
from llm_export.config.schema import CheckpointConfig
from llm_export.models.vision.detect import detect_vision
from llm_export.models.vision.families import VISION_FAMILIES
from llm_export.models.vision.load_weights import load_vision_weights
from llm_export.models.vision.model import VisionLanguageModel, build_on_meta

CONTEXT = 96
IMAGE_TOKEN = 300


def build(
    model_type: str,
    seed: int = 0,
    *,
    text: dict[str, Any] | None = None,
    vision: dict[str, Any] | None = None,
    **whole: Any,
) -> PreTrainedModel:
    """A random member of transformers, whose logits and features are far apart."""
    family = VISION_FAMILIES.get(model_type)
    parts = {name: dict(values) for name, values in family.tiny.items()}
    parts["text_config"] |= text or {}
    parts["vision_config"] |= vision or {}
    top = parts.pop("", {})
    config = CONFIG_MAPPING[model_type](**{**top, **parts, **whole})
    torch.manual_seed(seed)
    made: Any = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)]
    model: PreTrainedModel = made(config).float().eval()
    wrapper_models.scatter(model)
    return model


@torch.no_grad()
def reference_logits(reference: Any, embeddings: Tensor, **inputs: Any) -> Tensor:
    """[S, V] of transformers' model from embeddings [1, S, H]."""
    found: Tensor = reference(inputs_embeds=embeddings, **inputs).logits[0]
    return found


def ours(
    reference: Any, folder: Path, *, size: tuple[int, int] | None = None, attention: str = "plain"
) -> VisionLanguageModel:
    """``reference`` saved as a folder, and read from there."""
    source = CheckpointConfig(path=str(wrapper_models.save(reference, folder)))
    option = detect_vision(source)
    family = VISION_FAMILIES.get(option.family)
    config = family.read(option.config, size)
    model = build_on_meta(config, CONTEXT, attention, all_logits=True)
    checkpoint = open_checkpoint(source, {}, whole=True)
    load_vision_weights(model, family, option.config, checkpoint)
    model.init_buffers()
    return model


def picture(model: VisionLanguageModel, seed: int = 0) -> Tensor:
    """Normalised pixels [1, 3, h, w] of the model's size."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 3, *model.config.image_size, generator=generator)


@torch.no_grad()
def stepwise(model: VisionLanguageModel, embeddings: Tensor, prefill: int) -> Tensor:
    """Logits [S, V] of embeddings [1, S, H]: a chunk, then one by one."""
    rows = [model.decode(embeddings[:, :prefill], torch.tensor([0]))[0]]
    for i in range(prefill, embeddings.shape[1]):
        rows.append(model.decode(embeddings[:, i : i + 1], torch.tensor([i]))[0])
    return torch.cat(rows)
