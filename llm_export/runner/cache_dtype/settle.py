"""Measure what a recipe leaves open, before anything is made of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from llm_export.config.quant_schema import CacheDtype
from llm_export.config.schema import filled
from llm_export.errors import LlmExportError, first_line
from llm_export.pipeline.child_errors import reason_of
from llm_export.predict.model_shapes import decoder_shapes
from llm_export.resolve.cache_choice import KEY, CacheChoice, CacheTimes
from llm_export.resolve.recipe import ResolvedRecipe, with_measured_cache


def with_cache_dtype(resolved: ResolvedRecipe) -> ResolvedRecipe:
    """The recipe with the dtype that was the fastest here, if it leaves it to a measurement. What
    cannot be measured stays float, and a note says why."""
    choice = resolved.cache_choice
    if choice is None or not choice.open:
        return resolved
    try:
        return with_measured_cache(resolved, _measured(resolved, choice))
    except Exception as error:  # a choice, without which the run goes on
        note = f"{KEY}: float; the measurement failed: {first_line(error)}"
        notes = (*(n for n in resolved.notes if n != choice.note), note)
        return replace(resolved, notes=notes, cache_choice=None)


def _measured(resolved: ResolvedRecipe, choice: CacheChoice) -> CacheTimes:
    from llm_export.runner.cache_dtype.probe import probe_of, write_programs

    shapes = decoder_shapes(resolved)
    assert shapes is not None  # only the fast tier has several dtypes
    attentions = [k.attention for k in shapes.kinds if k.attention is not None]
    probe = probe_of(attentions, filled(resolved.recipe.runtime.context_length))
    kinds = {dtype.value: kind for dtype, kind in choice.kinds.items()}
    with TemporaryDirectory() as name:
        folder = Path(name)
        said = write_programs(probe, kinds, folder)
        (folder / "probe.json").write_text(json.dumps(said), encoding="utf-8")
        command = [sys.executable, "-m", "llm_export.runner.cache_dtype.timer", name]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise LlmExportError(reason_of(done.stderr))
    times = json.loads(done.stdout)
    return CacheTimes({CacheDtype(n): tuple(t) for n, t in times.items()}, probe.position)
