"""What ExecuTorch's ``TextLLMRunner`` asks of a program, and what its failures mean."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llm_export.errors import BundleError
from runtime_py.bundle import Bundle

_CODE = re.compile(r"error:? 0x:?([0-9a-fA-F]+)")
_HINTS = {
    0x14: "the runner lacks an operator of the program; link the libraries of {operators}",
    0x20: "the runner lacks a backend of the program; link {backends}",
    0x30: "the runner's backend is of another version than ExecuTorch {executorch}",
    0x12: "build the runner from ExecuTorch {executorch}",
}
"""Error code of ExecuTorch (runtime/core/error.h) -> what to do."""
_NOT_STARTED = (126, 127)


def check_contract(bundle: Bundle) -> None:
    """Whether ExecuTorch's ``TextLLMRunner`` can run a bundle's program.

    Raises:
        BundleError: it cannot, and why.
    """
    program = bundle.manifest["program"]
    steps = program.get("steps", {"forward": program["prefill_length"]})
    fixed = not program["dynamic_shapes"]
    refuse(bundle, "ExecuTorch's LLM runner", "measure with the device's Python", [
        (not program["kv_cache"], "keeps no keys and values itself", "runtime.attention=auto"),
        ("cache_io" in program, "takes its caches as inputs", "runtime.attention=auto"),
        (program.get("token_dtype", "int64") != "int64", "takes tokens of 32 bits",
         "another backend"),
        (not ({"forward"} <= set(steps) or {"prefill", "decode"} <= set(steps)),
         f"has methods {', '.join(steps)}, neither forward nor prefill and decode",
         "another backend"),
        (fixed and steps.get("forward", 1) > 1, "takes a fixed number of tokens per step",
         "runtime=dynamic, if the backend can"),
        (bundle.file("tokenizer") is None, "has no tokenizer beside it", "a checkpoint with one"),
    ])  # fmt: skip


def refuse(
    bundle: Bundle, runner: str, instead: str, obstacles: Iterable[tuple[object, str, str]]
) -> None:
    """Refuse a program for the first of its obstacles.

    Args:
        instead: of exporting anew.
        obstacles: whether there is one; what the program does or lacks; with what to export.

    Raises:
        BundleError: there is an obstacle.
    """
    for there, what, fix in obstacles:
        if there:
            raise BundleError(
                f"{runner} cannot run this program: it {what}", where=str(bundle.path),
                fix=f"export with {fix}, or {instead}",
            )  # fmt: skip


def hint_of(said: str, code: int, bundle: Bundle) -> str | None:
    """How to fix a failure of a runner; None if that is not known.

    Args:
        said: all that it printed.
        code: exit code of its process.
    """
    requires = bundle.manifest["requires"]
    found = [int(number, 16) for number in _CODE.findall(said)]
    hint = next((_HINTS[number] for number in reversed(found) if number in _HINTS), None)
    if hint is None and code in _NOT_STARTED:
        return "is it built for this processor and system, with all its libraries?"
    return hint and hint.format(
        operators=", ".join(n for n in requires["operators"] if not n.startswith("aten::")),
        backends=", ".join(requires["backends"]),
        executorch=requires["executorch"],
    )
