"""Compare a loaded program with what its manifest says, before it is fed.

ExecuTorch trusts its caller: a wrong shape ends in an error at best, a wrong id ends the process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from runtime_py.compat import returned_memory
from runtime_py.errors import BundleRuntimeError
from runtime_py.program_state import METHOD, StateTensor

_CODES = {
    torch.int8: 1, torch.int32: 3, torch.int64: 4, torch.float16: 5, torch.float32: 6,
    torch.bfloat16: 15,
}  # fmt: skip
"""torch dtype -> its number in ExecuTorch (runtime/core/portable_type/scalar_type.h)."""

Shape = tuple[int, ...]


def check_program(
    program: Any,
    path: Path,
    *,
    steps: Mapping[str, int],
    dynamic: bool,
    token_dtype: torch.dtype,
    context_length: int,
    vocab_size: int | None,
    caches: Sequence[tuple[Shape, torch.dtype]],
    windows: int,
    embedded: int | None = None,
) -> None:
    """
    Args:
        program: ExecuTorch's ``Program``.
        embedded: number of tensors that the program takes besides, if it takes embeddings.
        caches: shape and dtype of each cache that a method takes; ``windows``: number of masks
            that it takes before them.

    Raises:
        BundleRuntimeError: the program is of another manifest.
    """
    for name, length in steps.items():
        if name not in program.method_names:
            raise BundleRuntimeError(f"the program has no method '{name[:200]}'", where=str(path))
        for what in _method_problems(
            program.metadata(name), length, dynamic, token_dtype, vocab_size, caches, windows,
            embedded,
        ):  # fmt: skip
            raise _other(path, f"method {name} {what}")
    for name, value in (("get_max_context_len", context_length), ("get_vocab_size", vocab_size)):
        found = _constant(program, name)
        if None not in (found, value) and found != value:
            raise _other(path, f"{name} is {found} in the program, {value} in the manifest")


def state_memory(program: Any, path: Path, tensors: Sequence[StateTensor]) -> Sequence[Tensor]:
    """The program's state, the memory itself, once its method for it was compared with the
    manifest.

    Raises:
        BundleRuntimeError: the program is of another manifest.
    """
    if METHOD not in program.method_names:
        raise BundleRuntimeError(f"the program has no method '{METHOD}'", where=str(path))
    meta = program.metadata(METHOD)
    if meta.num_inputs() or meta.num_outputs() != len(tensors):
        raise _other(
            path, f"method {METHOD} takes {meta.num_inputs()} tensors and returns "
            f"{meta.num_outputs()}, the manifest has 0 and {len(tensors)}",
        )  # fmt: skip
    for index, each in enumerate(tensors):
        found = meta.output_tensor_meta(index)
        if tuple(found.sizes()) != each.shape or found.dtype() != _CODES[each.dtype]:
            raise _other(
                path, f"method {METHOD} returns {_shape(found.sizes())}, the manifest has "
                f"{_shape(each.shape)} of {each.dtype} for {each.name[:200]}",
            )  # fmt: skip
    return returned_memory(program.load_method(METHOD))


def _method_problems(
    meta: Any,
    length: int,
    dynamic: bool,
    token_dtype: torch.dtype,
    vocab_size: int | None,
    caches: Sequence[tuple[Shape, torch.dtype]],
    windows: int,
    embedded: int | None,
) -> list[str]:
    count = 2 + windows + len(caches) + (embedded or 0)
    if meta.num_inputs() != count or meta.num_outputs() != 1 + len(caches):
        return [
            f"takes {meta.num_inputs()} tensors and returns {meta.num_outputs()}, the manifest "
            f"has {count} and {1 + len(caches)}"
        ]
    inputs = [meta.input_tensor_meta(index) for index in range(count)]
    found = []
    sizes, tokens = inputs[0].sizes(), inputs[0].dtype()
    if embedded is not None:
        sizes, tokens = sizes[:2] if len(sizes) == 3 else (), _CODES[token_dtype]
    rows, most = _pair(sizes)
    if rows != 1 or (length > most if dynamic else length != most):
        found.append(f"takes tokens {_shape(inputs[0].sizes())}, the manifest has (1, {length})")
    if {tokens, inputs[1].dtype()} != {_CODES[token_dtype]}:
        found.append(f"does not take tokens of {token_dtype}")
    for index, (shape, dtype) in enumerate(caches, start=2 + windows):
        meta_of = inputs[index]
        if tuple(meta_of.sizes()) != tuple(shape) or meta_of.dtype() != _CODES[dtype]:
            found.append(
                f"takes a cache {_shape(meta_of.sizes())}, the manifest has {_shape(shape)} of "
                f"{dtype}"
            )
    logits = tuple(meta.output_tensor_meta(0).sizes())
    if vocab_size is not None and (not logits or logits[-1] != vocab_size):
        found.append(f"returns logits {_shape(logits)}, the manifest's vocabulary has {vocab_size}")
    return found


def _pair(sizes: Sequence[int]) -> tuple[int, int]:
    return (sizes[0], sizes[1]) if len(sizes) == 2 else (0, 0)


def _shape(sizes: Sequence[int]) -> str:
    return f"({', '.join(map(str, sizes))})"


def _constant(program: Any, name: str) -> int | None:
    """The value of a method that returns a constant; None if the program has no such method."""
    if name not in program.method_names:
        return None
    values = program.load_method(name).execute([])
    return values[0] if len(values) == 1 and isinstance(values[0], int) else None


def _other(path: Path, what: str) -> BundleRuntimeError:
    return BundleRuntimeError(
        f"the program is not the one that the manifest describes: {what}", where=str(path),
        fix="copy or export the bundle again",
    )  # fmt: skip
