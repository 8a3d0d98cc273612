"""What a program says of itself: what its methods take and return, and its constants.

Names of constants are those that ExecuTorch's C++ runner reads (extension/llm/runner/constants.h);
optimum-executorch writes ``get_eos_id`` for ``get_eos_ids``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from runtime_py.compat import load_operator_libraries
from runtime_py.errors import BundleRuntimeError
from runtime_py.guard import guarded
from runtime_py.native_log import captured_native_log
from runtime_py.program_header import check_program_header

METHOD = "forward"
_DTYPES = {3: "int32", 4: "int64", 5: "float16", 6: "float32", 15: "bfloat16"}
"""ExecuTorch's ``ScalarType`` -> torch's name."""
_TOKENS = ("int32", "int64")
_RUNNER = "export it for ExecuTorch's TextLLMRunner: tokens and a position to logits"


class Shaped(NamedTuple):
    """``dtype``: None for a value that is no tensor."""

    dtype: str | None
    sizes: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.sizes))}]" if self.dtype else "no tensor"


@dataclass(frozen=True)
class ProgramFacts:
    """
    Attributes:
        entry: the manifest's entry ``program``.
        constants: name -> what the method of that name returns.
    """

    entry: dict[str, Any]
    constants: Mapping[str, Any]


def program_facts(path: Path, data: Path | None) -> ProgramFacts:
    """
    Args:
        data: weights that are not in the program.

    Raises:
        BundleRuntimeError: it cannot be loaded here, or is no text model that takes tokens.
    """
    check_program_header(path)
    with captured_native_log(), guarded("the program cannot be loaded", where=str(path)):
        load_operator_libraries()
        from executorch.runtime import Runtime

        program = Runtime.get().load_program(path, data_path=data)
        names = sorted(program.method_names)
        if METHOD not in names:
            raise _other(path, names)
        meta = program.metadata(METHOD)
        takes = [_shaped(meta.input_tensor_meta, i) for i in range(meta.num_inputs())]
        returns = [_shaped(meta.output_tensor_meta, i) for i in range(meta.num_outputs())]
        constants = {
            name: found for name in names
            if name != METHOD and (found := _constant(program, name)) is not None
        }  # fmt: skip
        entry = _entry(path, takes, returns, constants)
        if "enable_dynamic_shape" not in constants and entry["prefill_length"] > 1:
            entry["dynamic_shapes"] = _takes_fewer(program, takes)
    if entry.get("whole_text") and not entry["dynamic_shapes"] and entry["logits"] == "last":
        raise BundleRuntimeError(
            "the program has no KV cache, a fixed length, and returns only the logits of the last "
            "position: it can answer no shorter text", where=str(path), fix=_RUNNER,
        )  # fmt: skip
    return ProgramFacts({"methods": names, **entry}, constants)


def _entry(
    path: Path, takes: list[Shaped], returns: list[Shaped], constants: Mapping[str, Any]
) -> dict[str, Any]:
    where = str(path)
    tokens, logits = takes[0] if takes else Shaped(None, ()), returns[0]
    if tokens.dtype not in _TOKENS or len(tokens.sizes) != 2 or tokens.sizes[0] != 1:
        raise BundleRuntimeError(
            f"method {METHOD} takes {tokens}, where tokens int64[1, S] are needed", where=where,
            fix=_RUNNER,
        )  # fmt: skip
    whole = _kind(where, takes, constants)
    if logits.dtype not in ("float32", "float16", "bfloat16") or len(logits.sizes) not in (2, 3):
        raise BundleRuntimeError(
            f"method {METHOD} returns {logits}, where logits float32[1, S, V] or [1, V] are "
            "needed: it is no language model, or one without its output head", where=where,
            fix=_RUNNER,
        )  # fmt: skip
    if len(returns) > 1 and not whole:
        raise BundleRuntimeError(
            f"method {METHOD} returns {len(returns)} tensors: it hands out its caches, in a form "
            "that is not known", where=where, fix=_RUNNER,
        )  # fmt: skip
    length = tokens.sizes[1]
    context = constants.get("get_max_context_len", constants.get("get_max_seq_len"))
    if whole:
        context = length
    if type(context) is not int or context < 1:
        raise BundleRuntimeError(
            "the program does not say how long its context is: it has no method get_max_seq_len",
            where=where,
            fix='export it with the constant method, such as metadata {"get_max_seq_len": 2048}',
        )
    length = min(length, context)
    several = len(logits.sizes) == 3 and (logits.sizes[1] > 1 or length == 1)
    entry: dict[str, Any] = {
        "context_length": context, "prefill_length": length,
        "dynamic_shapes": length > 1 and bool(constants.get("enable_dynamic_shape", False)),
        "steps": {METHOD: length}, "token_dtype": tokens.dtype, "kv_cache": not whole,
        "vocab_size": logits.sizes[-1], "logits": "all" if several else "last",
    }  # fmt: skip
    return {**entry, "whole_text": whole} if whole else entry


def _kind(where: str, takes: list[Shaped], constants: Mapping[str, Any]) -> str:
    """'' of a program with a KV cache; else what it takes: tokens, or a mask too."""
    if len(takes) == 1:
        return "tokens"
    second = takes[1]
    if len(takes) == 2 and second.dtype in _TOKENS:
        if len(second.sizes) == 1 and second.sizes[0] in (1, takes[0].sizes[1]):
            return ""
        if second.sizes == takes[0].sizes:
            return "mask"
    raise BundleRuntimeError(
        f"method {METHOD} takes {', '.join(map(str, takes[:6]))}"
        f"{', ...' if len(takes) > 6 else ''}; beside tokens only a position (int64[1] or [S]) or "
        "a mask int64[1, S] can be given", where=where, fix=_RUNNER,
    )  # fmt: skip


def _shaped(meta: Any, index: int) -> Shaped:
    try:
        found = meta(index)
    except Exception:  # a number, for example
        return Shaped(None, ())
    dtype = found.dtype()
    return Shaped(_DTYPES.get(dtype, f"dtype {dtype}"), tuple(found.sizes()))


def _constant(program: Any, name: str) -> Any:
    """A number, or a list of several; None of a method that takes or computes anything."""
    try:
        if program.metadata(name).num_inputs():
            return None
        values = program.load_method(name).execute([])
    except Exception:  # a method of another kind, which is not needed
        return None
    if not values or not all(isinstance(value, int | float | str) for value in values):
        return None
    return values[0] if len(values) == 1 else list(values)


def _takes_fewer(program: Any, takes: list[Shaped]) -> bool:
    """Whether a step of one token works, in a program that does not say whether its shapes are
    dynamic."""
    import torch

    inputs = [torch.zeros(1, 1, dtype=getattr(torch, str(takes[0].dtype)))]
    if len(takes) > 1:
        second = torch.zeros(1, dtype=getattr(torch, str(takes[1].dtype)))
        inputs.append(second if len(takes[1].sizes) == 1 else torch.ones_like(inputs[0]))
    try:
        program.load_method(METHOD).execute(inputs)
    except Exception:
        return False
    return True


def _other(path: Path, names: list[str]) -> BundleRuntimeError:
    parts = [name for name in names if not name.startswith(("get_", "use_", "enable_"))]
    several = {"text_decoder", "token_embedding", "text_embedding"} & set(parts)
    what = "it is in parts, as for ExecuTorch's MultimodalRunner" if several else "it is another"
    return BundleRuntimeError(
        f"the program has no method '{METHOD}': {what} ({', '.join(parts[:8]) or 'none'})",
        where=str(path), fix=_RUNNER,
    )  # fmt: skip
