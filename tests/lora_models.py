"""Adapters that PEFT makes, with random factors, and the logits that PEFT computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import torch

IDS = [(i * 37) % 300 for i in range(40)]


def save_adapter(base: Any, folder: Path, seed: int = 1, **options: Any) -> torch.Tensor:
    """Save an adapter of ``base`` with PEFT; the logits [40, V] of PEFT's model for IDS."""
    settings: dict[str, Any] = {"r": 4, "lora_alpha": 12, "target_modules": ["q_proj", "v_proj"]}
    config = peft.LoraConfig(task_type="CAUSAL_LM", **{**settings, **options})
    model = peft.get_peft_model(base, config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                parameter.normal_(std=0.15, generator=generator)
    model.save_pretrained(str(folder), save_embedding_layers=False)
    return logits(model.eval())


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([IDS])).logits[0]
