"""Vision towers by their config names. To add one, add a file and a line here."""

from __future__ import annotations

from typing import Any

from llm_export.registry import Registry

_HERE = "llm_export.models.vision.towers"

TOWERS: Registry[Any] = Registry("vision tower")
"""Each is built from its config: pixels [B, 3, h, w] -> features [B, N, D], row by row."""
TOWERS.register("siglip", f"{_HERE}.siglip:Siglip")
TOWERS.register("naflex", f"{_HERE}.naflex:NaFlex")
TOWERS.register("clip", f"{_HERE}.clip:Clip")
TOWERS.register("qwen3_vl", f"{_HERE}.qwen3_vl:Qwen3VLTower")
TOWERS.register("internvit", f"{_HERE}.internvit:InternViT")
