"""The bytes that a decoding step has to read: weights and what the caches hold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime_py.bundle import Bundle

if TYPE_CHECKING:
    from runtime_py.program_state import StateTensor

_WHOLE = "linear"
"""The kind of operators in profile_map.json that read their weights whole for each token. Others
read rows of tables, or the selected experts of a mixture."""
_KNOWN = 0.5
"""A step's reads are known if linears have at least this share of the layers' weights."""
_LAYERS = "layers."
"""In the path of a module of a layer."""


@dataclass(frozen=True)
class Sizes:
    """
    Attributes:
        weights: bytes of the weights; of the files of the program where the bundle has no map of
            them.
        step_weights: bytes of those that a step reads whole; None where it is not known.
        caches: bytes of keys, values and recurrent states; None where it is not known.
    """

    weights: int
    step_weights: int | None
    caches: int | None
    tensors: tuple[StateTensor, ...] = ()

    @classmethod
    def of(cls, bundle: Bundle, adapter: str | None = None) -> Sizes:
        from runtime_py.program_state import state_tensors  # imports torch

        facts = bundle.manifest["program"]
        tensors = tuple(state_tensors(facts))
        caches = (facts.get("cache") or facts.get("state") or {}).get("bytes")
        if caches is None and tensors:
            caches = sum(_bytes(t) for t in tensors)
        weights, step = _of_map(bundle)
        if weights is None:
            files = [bundle.file("program"), bundle.adapter_file(adapter)]
            weights = sum(file.stat().st_size for file in files if file is not None)
        return cls(weights, step, None if caches is None else int(caches), tensors)

    def read_at(self, position: int) -> int | None:
        """Bytes that a step reads with ``position`` tokens in the caches: the weights, the filled
        slots, and recurrent states. None where it is not known."""
        if self.step_weights is None or (self.caches and not self.tensors):
            return None
        return self.step_weights + sum(
            _bytes(t, t.rows(min(position, t.shape[t.slots]), 0) if t.slots is not None else None)
            for t in self.tensors
        )


def _bytes(tensor: StateTensor, rows: int | None = None) -> int:
    shape = list(tensor.shape)
    if rows is not None and tensor.slots is not None:
        shape[tensor.slots] = rows
    return math.prod(shape) * tensor.dtype.itemsize


def _of_map(bundle: Bundle) -> tuple[int | None, int | None]:
    """(bytes of all weights, of those that a step of one token reads whole), by profile_map.json;
    None where there is none that can be read."""
    file = bundle.file("profile_map")
    try:
        body: Mapping[str, Any] = {} if file is None else json.loads(file.read_text("utf-8"))
        steps: Mapping[str, int] = bundle.manifest["program"].get("steps") or {"forward": 1}
        calls = body["methods"][min(steps, key=steps.__getitem__)]
        rows = [row for call in calls for row in (call[1:5], *(call[5] if call[5:] else ()))]
        whole = {"": 0, _LAYERS: 0}
        for _, module, kind, size in rows:
            if body["kinds"][kind] == _WHOLE:
                whole[_LAYERS if _LAYERS in body["strings"][module] else ""] += int(size)
        weights = [(body["strings"][module], int(size)) for module, size in body["weights"]]
        of_layers = sum(size for module, size in weights if _LAYERS in module)
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None, None
    known = whole[_LAYERS] >= _KNOWN * of_layers
    return sum(size for _, size in weights), sum(whole.values()) if known else None
