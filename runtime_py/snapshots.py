"""What a program remembers of a text, outside of the program: to come back to it, or to go on in
another process.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.guard import guarded

_FORMAT = "1"
_TOKENS, _LOGITS = "tokens", "logits"
_PREFIX = "state."
_SHA = 64


@dataclass(frozen=True, eq=False, repr=False)
class Snapshot:
    """The state after ``tokens``. It belongs to one program, and to one of its adapters.

    Attributes:
        tokens: ids of the text that the state comes from.
        furthest: largest position that was reached before going back to this one.
        program, adapter: SHA-256 of their files; adapter is '' where there is none.
        tensors: name -> filled slots of keys and values, or a whole recurrent state.
        messages: the conversation that the text comes from, if a session took the snapshot.
        logits: float32 [V] after the last token, if they were known.
    """

    tokens: tuple[int, ...]
    furthest: int
    program: str
    adapter: str
    tensors: Mapping[str, Tensor]
    messages: tuple[Mapping[str, Any], ...] = ()
    logits: Tensor | None = None

    @property
    def position(self) -> int:
        """Number of tokens."""
        return len(self.tokens)

    @property
    def bytes(self) -> int:
        """Memory of all tensors."""
        return sum(t.nbytes for t in self.tensors.values())

    def __repr__(self) -> str:
        return f"<Snapshot of {self.position} tokens, {self.bytes / 1e6:.1f} MB>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file that only its owner can read: it holds the conversation. A file
        of that name is replaced once the new one is whole.

        Raises:
            BundleRuntimeError: it cannot be written.
        """
        file = _path(path)
        from safetensors.torch import save

        tensors = {_PREFIX + name: t.contiguous() for name, t in self.tensors.items()}
        tensors[_TOKENS] = torch.tensor(self.tokens, dtype=torch.int64)
        if self.logits is not None:
            tensors[_LOGITS] = self.logits.contiguous()
        facts = {"furthest": str(self.furthest), "program": self.program, "adapter": self.adapter}
        facts["snapshot"] = _FORMAT
        if self.messages:
            with guarded("the messages cannot be written as JSON", where=str(file)):
                facts["messages"] = json.dumps(self.messages)
        facts["sha256"] = _digest(tensors, facts)
        with guarded("the snapshot cannot be written", where=str(file)):
            _write(file, save(tensors, metadata=facts))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Snapshot:
        """Read a file that ``save`` wrote. Whether it fits a program shows when it is restored.

        Raises:
            BundleRuntimeError: there is none, it is no snapshot, or damaged.
        """
        file = _path(path)
        from safetensors import safe_open

        with guarded("the snapshot cannot be read", where=str(file)):
            if not file.is_file():
                raise BundleRuntimeError("there is no such snapshot", where=str(file))
            # Copied: a mapping of a file that shrinks would end the process.
            with safe_open(file, framework="pt") as opened:
                facts = dict(opened.metadata() or {})
                if facts.get("snapshot") != _FORMAT:
                    raise BundleRuntimeError(
                        f"this is no snapshot of format {_FORMAT}", where=str(file)
                    )
                tensors = {name: opened.get_tensor(name).clone() for name in list(opened.keys())}
        wrong = _damage(tensors, facts)
        if wrong:
            raise BundleRuntimeError(
                f"the snapshot is damaged: {wrong}", where=str(file), fix="feed the text again"
            )
        ids, logits = tensors.pop(_TOKENS), tensors.pop(_LOGITS, None)
        state = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
        return cls(
            tuple(ids.tolist()), int(facts["furthest"]), facts["program"], facts["adapter"], state,
            tuple(json.loads(facts.get("messages", "[]"))), logits,
        )  # fmt: skip


def _path(path: object) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise ArgumentError(f"path must be the name of a file, not {type(path).__name__}")
    return Path(path)


def _write(file: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{file.name[:100]}.", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(name, file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _digest(tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> str:
    """SHA-256 of all that a file says: facts, and names, shapes, dtypes and bytes of tensors."""
    found = hashlib.sha256()
    for key in ("snapshot", "furthest", "program", "adapter"):
        found.update(f"{key}={facts.get(key)}\n".encode())
    if "messages" in facts:
        found.update(f"messages={facts['messages']}\n".encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _damage(tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> str:
    """'' if all is as it was written."""
    ids, furthest = tensors.get(_TOKENS), facts.get("furthest", "")
    if facts.get("sha256") != _digest(tensors, facts):
        return "its sha256 is another one"
    if ids is None or ids.dtype != torch.int64 or ids.dim() != 1:
        return "it has no tokens"
    if not (furthest.isdecimal() and furthest.isascii() and len(furthest) < _SHA):
        return "it has no furthest position"
    if int(furthest) < len(ids):
        return "its furthest position is before its last one"
    logits = tensors.get(_LOGITS)
    if logits is not None and (logits.dtype != torch.float32 or logits.dim() != 1):
        return "its logits are not a float32 vector"
    if len(facts.get("program", "")) != _SHA or "adapter" not in facts:
        return "it names no program"
    if not _are_messages(facts.get("messages", "[]")):
        return "its messages are not a JSON list of objects"
    if any(not name.startswith(_PREFIX) for name in tensors if name not in (_TOKENS, _LOGITS)):
        return "it has a tensor of another kind"
    return ""


def _are_messages(text: str) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, list) and all(isinstance(each, dict) for each in found)
