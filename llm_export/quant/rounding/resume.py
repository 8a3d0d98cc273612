"""Save finished layers to disk, so that a killed run can resume."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from llm_export.quant.grid import Grid
from llm_export.quant.rounding.base import Rounded
from llm_export.quant.rules import LayerQuantSpec

FORMAT = "3"


class FinishedLayers:
    """One file per finished layer. This is best effort: layers that cannot be written are not
    saved, and invalid files are recomputed.

    Args:
        folder: folder of one computation, named by a digest of all its inputs.

    Attributes:
        taken: layers that were read instead of computed.
        problem: why layers could not be kept, or None.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.taken: list[int] = []
        self.problem: str | None = None

    def load(self, layer: int, choices: Sequence[LayerQuantSpec]) -> dict[str, Rounded] | None:
        """Load the layer if its file is complete and has these weights."""
        try:
            with safe_open(self._file(layer), "pt") as file:
                facts = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if facts.get("format") != FORMAT or facts.get("digest") != _digest(tensors, facts):
                return None
            outcomes = json.loads(facts["outcomes"])
            found = {c.name: _rounded(c, tensors, outcomes[c.name]) for c in choices}
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            return None
        self.taken.append(layer)
        return found

    def save(self, layer: int, rounded: Mapping[str, Rounded]) -> None:
        """Save the layer; it gets its final name once complete."""
        tensors: dict[str, Tensor] = {}
        for name, one in rounded.items():
            parts = {"q": one.grid.q, "scale": one.grid.scale, "offset": one.grid.offset}
            tensors |= {f"{name}:{k}": t.contiguous() for k, t in parts.items() if t is not None}
        outcomes = {name: [one.how, one.sqnr_db, one.training_db] for name, one in rounded.items()}
        facts = {"format": FORMAT, "outcomes": json.dumps(outcomes)}
        facts["digest"] = _digest(tensors, facts)
        partial: str | None = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(dir=self._folder, prefix=".partial-")
            os.close(handle)
            save_file(tensors, partial, facts)
            os.replace(partial, self._file(layer))
        except (OSError, SafetensorError) as error:
            self.problem = str(error)
            if partial is not None:
                with contextlib.suppress(OSError):
                    os.unlink(partial)

    def discard(self) -> None:
        """Delete all files at the end."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, layer: int) -> Path:
        return self._folder / f"{layer}.safetensors"


def _digest(tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> str:
    digest = hashlib.sha256(facts["outcomes"].encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _rounded(
    choice: LayerQuantSpec, tensors: Mapping[str, Tensor], outcome: Sequence[object]
) -> Rounded:
    """Raises KeyError or ValueError if the data does not belong to this weight."""
    spec = choice.spec
    parts = {k: tensors.get(f"{choice.name}:{k}") for k in ("q", "scale", "offset")}
    q, scale, offset = parts["q"], parts["scale"], parts["offset"]
    if q is None or scale is None or (offset is None) == spec.zero_point:
        raise KeyError(choice.name)
    rows, columns = choice.shape
    groups = (rows, columns // (spec.group or columns))
    if q.shape != (rows, columns) or q.dtype != torch.int8 or scale.shape != groups:
        raise ValueError(choice.name)
    how, sqnr_db, training_db = outcome
    grid = Grid(q, scale, offset, choice.spec_of(str(how)))
    return Rounded(grid, str(how), *_decibels(sqnr_db, training_db))


def _decibels(sqnr_db: Any, training_db: Any) -> tuple[float, float | None]:
    return float(sqnr_db), None if training_db is None else float(training_db)
