"""Profile one method of a program that has several, such as an encoder and a decoder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.errors import BundleError, RecipeError, did_you_mean
from llm_export.profile.measure import Steps, measure_turns
from llm_export.profile.traced_program import TracedMethods
from runtime_py.method_program import MethodProgram

if TYPE_CHECKING:
    from torch import Tensor

_SCHEMA = "get_model_schema"
_CONTEXT = "get_max_context_len"
_TOKENS = 256
"""Of an input of ids that may have any length."""


@dataclass(frozen=True)
class Step:
    """What is measured; see ``Profile``."""

    phase: str
    method: str
    depth: int
    tokens: int


def measure_method(
    file: Path, phase: str | None, depth: int, tokens: int | None, threads: int | None
) -> tuple[Steps, Step]:
    """Call a method again and again, without and with the tracer. Its inputs are zeros of the sizes
    that the program's schema allows, since their values do not affect the time.

    Args:
        phase: a method's name; decode or prefill: the method with caches; None: that method, or
            the first one.
        depth: the position that a method with caches gets.
        tokens: length of an input that may have several lengths.

    Raises:
        RecipeError: there is no such method, or it takes no such input.
        BundleError: the program does not tell the shapes of its inputs.
    """
    plain, traced = MethodProgram(file, threads=threads), TracedMethods(file, threads=threads)
    if _SCHEMA not in plain.methods:
        raise BundleError(
            "the program does not tell the shapes of its inputs", where=str(file),
            fix="export it again",
        )  # fmt: skip
    schema = json.loads(str(plain.call(_SCHEMA, ())[0]))
    method = _method(schema, phase)
    if phase is None:
        phase = "decode" if _cached(schema[method]["inputs"]) else method
    context = int(plain.call(_CONTEXT, ())[0]) if _CONTEXT in plain.methods else None
    inputs, step = _inputs(schema[method]["inputs"], method, phase, depth, tokens, context)

    def timed(program: MethodProgram) -> float:
        begin = time.perf_counter()
        program.call(method, inputs)
        return time.perf_counter() - begin

    return measure_turns(lambda: timed(plain), lambda: timed(traced), traced), step


def _method(schema: Mapping[str, Any], phase: str | None) -> str:
    known = [name for name, each in schema.items() if each["inputs"]]
    cached = next((name for name in known if _cached(schema[name]["inputs"])), None)
    if phase in known:
        return phase
    if phase is None:
        return cached or known[0]
    if cached and phase in ("decode", "prefill"):
        return cached
    phases = ["decode", "prefill"] if cached else []
    raise RecipeError(
        f"there is no phase {phase!r} of this program", where="--phase",
        fix=did_you_mean(phase, [*phases, *known]),
    )  # fmt: skip


def _cached(inputs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a method takes a position, and so has caches."""
    return any(_is_position(each) for each in inputs)


def _is_position(each: Mapping[str, Any]) -> bool:
    alone = [{"kind": "constant", "value": 1}]
    return each.get("dtype") == "int64" and each.get("shape") == alone


def _inputs(
    inputs: Sequence[Mapping[str, Any]],
    method: str,
    phase: str,
    depth: int,
    tokens: int | None,
    context: int | None,
) -> tuple[list[Tensor], Step]:
    import torch

    cached = _cached(inputs)
    if type(depth) is not int or depth < 0:
        raise RecipeError(
            f"the depth must be a number of tokens, not {depth!r}", where="--depth", fix="e.g. 100"
        )
    if depth and not cached:
        raise RecipeError(f"the method {method} has no caches", where="--depth", fix="leave it out")
    if tokens is not None and type(tokens) is not int:
        raise RecipeError(
            f"tokens must be a whole number, not {tokens!r}", where="--tokens", fix="e.g. 32"
        )
    usual = 1 if cached and phase != "prefill" else _TOKENS
    if cached and context is not None:
        usual = max(1, min(usual, context - depth))
    sizes = [_shape(each, tokens, usual) for each in inputs]
    if tokens is not None and not _varies(inputs):
        raise RecipeError(
            f"inputs of the method {method} have one length", where="--tokens", fix="leave it out"
        )
    sides = [side for size in sizes for side in (size[1:2] if cached else size[1:])]
    length = max(sides, default=1)
    if cached and context is not None and depth + length > context:
        raise RecipeError(
            f"a step of length {length} at position {depth} does not fit the context of {context}",
            where="--depth", fix=f"at most {context - length}",
        )  # fmt: skip
    made = [
        torch.full(size, depth) if _is_position(each)
        else torch.zeros(size, dtype=getattr(torch, each["dtype"]))
        for each, size in zip(inputs, sizes, strict=True)
    ]  # fmt: skip
    return made, Step(phase, method, depth, length)


def _varies(inputs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether any size may vary but that of the batch."""
    return any(dim["kind"] == "range" for each in inputs for dim in each["shape"][1:])


def _shape(each: Mapping[str, Any], tokens: int | None, usual: int) -> list[int]:
    """Sizes of an input: a batch of the smallest size, and of other sizes that vary, ``tokens``,
    the usual number of ids or vectors, or the longest signal."""
    found = []
    for place, dim in enumerate(each["shape"]):
        if dim["kind"] == "constant":
            found.append(int(dim["value"]))
            continue
        least, most = int(dim["range"]["min"]), int(dim["range"]["max"])
        step = int(dim["range"].get("step", 1))
        if place and tokens is not None and (
            not least <= tokens <= most or (tokens - least) % step
        ):  # fmt: skip
            by = f" in steps of {step}" if step > 1 else ""
            raise RecipeError(
                f"an input of this method has a length of {least} to {most}{by}, not {tokens}",
                where="--tokens", fix=f"--tokens {most}",
            )  # fmt: skip
        signal = each["dtype"].startswith("float") and len(each["shape"]) == 2
        size = least if not place else tokens or (most if signal else min(most, usual))
        size = max(size, least)
        found.append(size - (size - least) % step)
    return found
