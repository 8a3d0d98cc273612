"""Separate adapters: the transform that adds them, and their files in the bundle."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from llm_export.bundle.adapter_file import Layout, Place, write_weights
from llm_export.bundle.roles import ROLES
from llm_export.checkpoints.adapter import Adapter, Pair
from llm_export.models.build import build_on_meta
from llm_export.models.components.lora import factor_tensors
from llm_export.models.definitions.composable import decoder_config
from llm_export.models.lora import capacities_for, decoder_factors, empty, fitted
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.transforms import fuse_projections
from llm_export.transforms.base import Transform, run_transform
from llm_export.transforms.lora import attach

FOLDER, LAYOUT = "adapters", ROLES["adapter_layout"]
BASE = "base"
"""The adapter that adds nothing."""
_CONTEXT = 16  # tokens; parameters do not depend on it


@dataclass(frozen=True)
class AdapterFiles:
    """Name of an adapter -> its file, relative to the bundle, and the adapter to use if none is
    asked for."""

    files: Mapping[str, str]
    default: str


def keep_separate(
    resolved: ResolvedRecipe, model: nn.Module, pairs: Mapping[str, Pair]
) -> Transform:
    """The transform that adds LoRA factors to a decoder, before or after projection fusion.

    Args:
        pairs: module of the checkpoint -> A [r, in] and B [out, r], with the scale in B.

    Raises:
        CheckpointError: the factors cannot be kept separate in this decoder.
    """
    recipe = resolved.recipe
    family, config = decoder_config(recipe)
    # Without delegates a linear is lowered to a product with its transposed weight.
    transposed = not resolved.capabilities.delegates
    return attach(decoder_factors(pairs, family, config, model), transposed)


def pairs_of(adapter: Adapter) -> dict[str, Pair]:
    """The LoRA factors of an adapter, for a program with exactly its ranks."""
    return fitted(adapter, capacities_for(adapter))


def write_adapter(
    path: Path, resolved: ResolvedRecipe, places: Mapping[str, Place], pairs: Mapping[str, Pair]
) -> None:
    """Write LoRA factors in the layout of the recipe's program. Base weights are not needed."""
    recipe = resolved.recipe
    model = build_on_meta(decoder_config(recipe)[1], _CONTEXT, "plain", False)
    step = keep_separate(resolved, model, pairs)
    if recipe.runtime.fuse_projections:
        for fusing in fuse_projections.steps(model):
            run_transform(fusing, model)
    run_transform(step, model)
    write_weights(path, places, factor_tensors(model))


def write_adapters(
    bundle: Path,
    resolved: ResolvedRecipe,
    adapter: Adapter,
    places: Mapping[str, Place],
    ends: tuple[int, ...],
) -> AdapterFiles:
    """Write the recipe's adapter, the empty one and their layout.

    Args:
        ends: see ``Layout``.
    """
    capacities = capacities_for(adapter)
    name = adapter_name(adapter.folder.name)
    files = {n: file_of(n) for n in (name, BASE)}
    (bundle / FOLDER).mkdir(exist_ok=True)
    write_adapter(bundle / files[name], resolved, places, fitted(adapter, capacities))
    write_adapter(bundle / files[BASE], resolved, places, empty(capacities))
    Layout(capacities, places, ends).write(bundle / LAYOUT)
    return AdapterFiles(files, name)


def adapter_name(text: str) -> str:
    """Derive an adapter's name from its folder's name."""
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("._-")
    return name if name and name != BASE else "adapter"


def file_of(name: str) -> str:
    """Of an adapter, relative to the bundle."""
    return f"{FOLDER}/{name}.ptd"
