"""Persistent sensitivity measurements, to resume a stopped run."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from llm_export.checkpoints.cache import cache_dir
from llm_export.config.recipe_files import plain
from llm_export.config.schema import Recipe
from llm_export.files import write_json
from llm_export.stages.quantization.rounding import code
from llm_export.versions import package_versions

Losses = dict[str, dict[str, float]]
"""Unit -> candidate as text -> mean KL."""


class Store:
    """Losses in one file of the cache folder, named by a digest of all their inputs. This is best
    effort: without a folder that can be written, a search that is killed begins anew.

    Attributes:
        problem: why losses could not be kept, or None.
    """

    def __init__(self, digest: str) -> None:
        self.path = cache_dir() / "auto" / f"{digest}.json"
        self.problem: str | None = None
        self.losses: Losses = _read(self.path)

    def add(self, unit: str, losses: dict[str, float]) -> None:
        self.losses[unit] = {**self.losses.get(unit, {}), **losses}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, self.losses)
        except OSError as error:
            self.problem = f"measured losses are not kept: {error.strerror}"

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def _read(path: Path) -> Losses:
    """Empty if there is no such file, or if its format is unknown."""
    try:
        stored: Any = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(unit): {str(words): float(kl) for words, kl in losses.items()}
            for unit, losses in stored.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def digest_of(model: nn.Module, recipe: Recipe, windows: Sequence[Sequence[int]]) -> str:
    """Digest of the float weights, the text, the rounding settings, the code that rounds, and the
    program's versions."""
    settings = {
        "code": code(),
        "windows": [list(window) for window in windows],
        "calibration": plain(asdict(recipe.quant.calibration)),
        "rounding": plain(asdict(recipe.quant.rounding)),
        "backend": recipe.backend.name,
        "versions": package_versions(),
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, parameter in model.named_parameters(remove_duplicate=False):
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
        digest.update(_bytes(parameter.detach()))
    return digest.hexdigest()[:32]


def _bytes(tensor: Tensor) -> memoryview:
    import torch

    return tensor.contiguous().view(-1).view(torch.uint8).numpy().data
