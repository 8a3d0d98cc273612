"""Cut a snapshot into blocks of tokens, and put blocks together again.

Keys and values of a token depend on the tokens before it alone. Texts that begin alike therefore
share the blocks of their common beginning (Kwon et al. 2023, https://arxiv.org/abs/2309.06180, of
memory). What every token changes, recurrent states and rings of the last positions, is only whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runtime_py.manifest import is_endless

if TYPE_CHECKING:
    from torch import Tensor

    from runtime_py.snapshots import Snapshot

BLOCK = 64
"""Tokens of a block."""
_STATE, _LOGITS = "state.", "logits"

Slots = Mapping[str, int]
"""Tensor -> the dimension with a slot for each position; others are stored whole."""


def slots_of(facts: Mapping[str, Any]) -> dict[str, int]:
    """Of the manifest's entry ``program``: tensors that keep every position once written."""
    from runtime_py.program_state import state_tensors

    if is_endless(facts):
        return {}
    return {
        each.name: each.slots
        for each in state_tensors(facts)
        if each.slots is not None and each.shape[each.slots] == facts["context_length"]
    }


def rows(snapshot: Snapshot, slots: Slots, start: int, end: int) -> bytes:
    """The slots of positions from ``start`` to ``end``, as a safetensors file."""
    from safetensors.torch import save

    return save({
        name: snapshot.tensors[name].narrow(dim, start, end - start).contiguous()
        for name, dim in slots.items()
    })  # fmt: skip


def whole(snapshot: Snapshot, slots: Slots) -> bytes:
    """What is of the last position alone, as a safetensors file: the tensors without slots, and
    the logits, which are not known again without feeding all of the text."""
    from safetensors.torch import save

    tensors = {
        _STATE + name: tensor.contiguous()
        for name, tensor in snapshot.tensors.items()
        if name not in slots
    }
    if snapshot.logits is not None:
        tensors[_LOGITS] = snapshot.logits.contiguous()
    return save(tensors)


def sizes(snapshot: Snapshot, slots: Slots) -> tuple[int, int]:
    """(bytes of a token, bytes of what is of the last position), with some for headers."""
    each = last = 0
    for name, tensor in snapshot.tensors.items():
        size = tensor.numel() * tensor.element_size() + 200
        if name in slots:
            each += -(-size // max(tensor.shape[slots[name]], 1))
        else:
            last += size
    if snapshot.logits is not None and last:
        last += snapshot.logits.numel() * snapshot.logits.element_size()
    return each + -(-200 * len(slots) // BLOCK), last


def joined(
    parts: Sequence[tuple[bytes, int]], state: bytes | None, slots: Slots
) -> tuple[dict[str, Tensor], Tensor | None]:
    """The tensors of a snapshot, and its logits if they are stored.

    Args:
        parts: what ``rows`` made, and how many of its slots are wanted.
        state: what ``whole`` made.
    """
    import torch
    from safetensors.torch import load

    pieces: dict[str, list[Tensor]] = {name: [] for name in slots}
    for data, count in parts:
        tensors = load(data)
        for name, dim in slots.items():
            pieces[name].append(tensors[name].narrow(dim, 0, count))
    found = {name: torch.cat(each, slots[name]) for name, each in pieces.items()}
    last = load(state) if state else {}
    logits = last.pop(_LOGITS, None)
    return found | {name.removeprefix(_STATE): each for name, each in last.items()}, logits
