"""Measure what a recipe leaves open, before anything is made of it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from llm_export.checkpoints.cache import cache_dir
from llm_export.config.schema import filled
from llm_export.errors import LlmExportError, first_line
from llm_export.pipeline.child_errors import reason_of
from llm_export.pipeline.console import output_to
from llm_export.predict.model_shapes import decoder_shapes
from llm_export.resolve.cache_choice import KEY, CacheChoice, CacheTimes
from llm_export.resolve.recipe import ResolvedRecipe, with_measured_cache
from llm_export.stage_cache.keys import this_machine
from llm_export.stage_cache.memo import Memo
from llm_export.stage_cache.settings import stages_folder
from llm_export.stage_cache.source_digest import Sources
from llm_export.versions import package_versions

if TYPE_CHECKING:
    from llm_export.models.components.attention_cores import CoreShape
    from llm_export.runner.cache_dtype.probe import Probe

_SOURCES = tuple(f"llm_export.runner.cache_dtype.{name}" for name in ("probe", "timer"))


def with_cache_dtype(
    resolved: ResolvedRecipe, say: Callable[[str], None], *, keep: bool = True
) -> ResolvedRecipe:
    """The recipe with the dtype that was the fastest here, if it leaves it to a measurement. What
    cannot be measured stays float, and a note says why.

    Args:
        say: called with a line before the measurement.
        keep: whether to use the times that this machine measured before for the same programs, and
            to keep them.
    """
    choice = resolved.cache_choice
    if choice is None or not choice.open:
        return resolved
    try:
        return with_measured_cache(resolved, _times(resolved, choice, say, keep))
    except Exception as error:  # a choice, without which the run goes on
        note = f"{KEY}: float; the measurement failed: {first_line(error)}"
        notes = (*(n for n in resolved.notes if n != choice.note), note)
        return replace(resolved, notes=notes, cache_choice=None)


def _times(
    resolved: ResolvedRecipe, choice: CacheChoice, say: Callable[[str], None], keep: bool
) -> CacheTimes:
    with output_to(Path(os.devnull)):
        from llm_export.runner.cache_dtype.probe import probe_of

        probe = probe_of(_layers(resolved), filled(resolved.recipe.runtime.context_length))
    kinds = {dtype.value: kind for dtype, kind in choice.kinds.items()}
    memo = Memo(_file(probe, kinds) if keep else None)
    rounds = memo.read()
    if not rounds:
        say(f"{KEY}: timing attention in {', '.join(kinds)} on this machine")
        with output_to(Path(os.devnull)):
            rounds = _measured(probe, kinds)
        memo.write(rounds)
    return CacheTimes({dtype: tuple(rounds[dtype.value]) for dtype in choice.kinds}, probe.position)


def _layers(resolved: ResolvedRecipe) -> list[CoreShape]:
    """Of the config, or of the model without values where it tells them only there."""
    from llm_export.models.components.attention_cores import CoreShape

    shapes, outline = decoder_shapes(resolved), resolved.definition.outline
    if shapes is not None:
        return [CoreShape.of(k.attention) for k in shapes.kinds if k.attention is not None]
    model = None if outline is None else outline(resolved.recipe)
    modules = [] if model is None else model.modules()
    kept = [getattr(module, "core_shape", None) for module in modules]
    if not any(kept):
        raise LlmExportError("the heads of its layers are not known before the model is loaded")
    return [shape for shape in kept if isinstance(shape, CoreShape)]


def _file(probe: Probe, kinds: dict[str, str]) -> Path:
    """Where the times of these programs are kept, as this machine and this software have them."""
    sources = Sources(stages_folder() / "sources.json")
    digests = [sources.digest(module) for module in _SOURCES]
    said = [asdict(probe), kinds, this_machine(), package_versions(), digests]
    text = json.dumps(said, sort_keys=True, default=str)
    return cache_dir() / "attention" / f"{hashlib.sha256(text.encode()).hexdigest()}.json"


def _measured(probe: Probe, kinds: dict[str, str]) -> dict[str, Any]:
    """Dtype -> milliseconds a layer of each round."""
    from llm_export.runner.cache_dtype.probe import write_programs

    with TemporaryDirectory() as name:
        folder = Path(name)
        said = write_programs(probe, kinds, folder)
        (folder / "probe.json").write_text(json.dumps(said), encoding="utf-8")
        command = [sys.executable, "-m", "llm_export.runner.cache_dtype.timer", name]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise LlmExportError(reason_of(done.stderr))
    return dict(json.loads(done.stdout))
