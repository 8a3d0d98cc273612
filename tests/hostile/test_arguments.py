"""Whatever a caller passes to the runtime, it answers, or says what is wrong."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile.bundle_mutations import DEEP
from hostile.outcome_record import record

from runtime_py import LLM, ArgumentError, BundleRuntimeError, ChatTemplate
from runtime_py.benchmark import measure
from runtime_py.program import set_threads
from runtime_py.sampling import SETTINGS, Sampling
from runtime_py.tokenizer import TextStream

LOOP: list[Any] = []
LOOP.append(LOOP)


class Odd:
    """An object whose every operation fails."""

    def __getattr__(self, name: str) -> Any:
        raise OSError(name)

    def __repr__(self) -> str:
        raise OSError("repr")

    def __len__(self) -> int:
        return -1


VALUES: dict[str, Any] = {
    "None": None, "True": True, "-1": -1, "0": 0, "1": 1, "2**63": 2**63, "2**64": 2**64,
    "-(2**63)": -(2**63), "10**5000": 10**5000, "0.5": 0.5, "1e-300": 1e-300, "1e308": 1e308,
    "nan": float("nan"), "inf": float("inf"), "-inf": -float("inf"), "complex": 1j,
    "''": "", "text": "abc", "zero byte": "a\0b", "half a character": "\ud83d", "bytes": b"abc",
    "[]": [], "()": (), "{}": {}, "set": {1}, "[None]": [None], "[1]": [1], "['a']": ["a"],
    "[-1]": [-1], "[10**9]": [10**9], "[2**70]": [2**70], "[[1]]": [[1]], "[1.0]": [1.0],
    "deep": DEEP, "loop": LOOP, "{1: 2}": {1: 2}, "generator": (i for i in range(2)),
    "object": object(), "odd": Odd(), "class": int, "function": len, "date": datetime.date.min,
    "array": np.zeros((2, 2)), "scalar": np.float32("nan"), "tensor": torch.zeros(0),
    "floats": torch.ones(2), "path": Path("/nonexistent"), "long path": "n" * 5000,
}  # fmt: skip
USER = [{"role": "user", "content": "hello"}]
NAMED = {"type": "function", "function": {"name": "f", "parameters": {"properties": {}}}}


def of_message(**change: Any) -> list[dict[str, Any]]:
    return [{**USER[0], **change}]


def not_called(value: Any) -> Any:
    """What a callable raises is its own."""
    return None if callable(value) else value


Call = Callable[[LLM, Any], Any]


def generating(name: str) -> Call:
    return lambda m, v: m.generate("a", **{"max_new_tokens": 1, name: v})


def sampling(name: str) -> Call:
    return lambda m, v: Sampling(**{name: v})


ARGUMENTS: dict[str, Call] = {
    **{f"generate {name}": generating(name) for name in (*SETTINGS, "sampling", "stop", "seed")
       if name != "max_new_tokens"},
    "generate on_text": lambda m, v: m.generate("a", max_new_tokens=1, on_text=not_called(v)),
    **{f"Sampling {name}": sampling(name) for name in SETTINGS},
    "generate prompt": lambda m, v: m.generate(v, max_new_tokens=1),
    "stream prompt": lambda m, v: list(m.stream(v, max_new_tokens=1)),
    "chat messages": lambda m, v: m.chat(v, max_new_tokens=1),
    "chat message": lambda m, v: m.chat([v], max_new_tokens=1),
    "chat role": lambda m, v: m.chat(of_message(role=v), max_new_tokens=1),
    "chat content": lambda m, v: m.chat(of_message(content=v), max_new_tokens=1),
    "chat part": lambda m, v: m.chat(of_message(content=[v]), max_new_tokens=1),
    "chat tool_calls": lambda m, v: m.chat(of_message(tool_calls=v), max_new_tokens=1),
    "chat tools": lambda m, v: m.chat(USER, tools=v, max_new_tokens=1),
    "chat tool": lambda m, v: m.chat(USER, tools=[v], max_new_tokens=1),
    "chat documents": lambda m, v: m.chat(USER, documents=v, max_new_tokens=1),
    "chat tool_choice": lambda m, v: m.chat(USER, tool_choice=v, max_new_tokens=1),
    "chat tool_choice name": lambda m, v: m.chat(
        USER, tools=[NAMED], tool_choice={"function": {"name": v}}, max_new_tokens=1),
    "chat thinking_budget": lambda m, v: m.chat(USER, thinking_budget=v, max_new_tokens=1),
    "chat answer_format": lambda m, v: m.chat(USER, answer_format=v, max_new_tokens=1),
    "chat document": lambda m, v: m.chat(USER, documents=[{"text": v}], max_new_tokens=1),
    "chat enable_thinking": lambda m, v: m.chat(USER, enable_thinking=v, max_new_tokens=1),
    "chat other": lambda m, v: m.chat(USER, surprise=v),
    "count_tokens": lambda m, v: m.count_tokens(v),
    "load path": lambda m, v: type(m).load(v),
    "load adapter": lambda m, v: type(m).load(m.bundle.path, adapter=v) if v is not None else None,
    "load threads": lambda m, v: type(m).load("/nonexistent", threads=v),
    "set_threads": lambda m, v: set_threads(v),
    "measure lengths": lambda m, v: measure("/nonexistent", prompt_length=v),
    "measure max_seconds": lambda m, v: measure("/nonexistent", max_seconds=v),
    "template source": lambda m, v: ChatTemplate(v, {}).render(USER),
    "special tokens": lambda m, v: ChatTemplate("{{ bos_token }}", {"bos_token": v}).render(USER),
    "encode": lambda m, v: m.tokenizer.encode(v),
    "decode": lambda m, v: m.tokenizer.decode(v),
    "push": lambda m, v: TextStream(m.tokenizer).push(v),
    "step": lambda m, v: m.program.step(v),
    "prefill": lambda m, v: m.program.prefill(v),
}  # fmt: skip


@pytest.fixture(scope="module")
def llm(portable_bundle: Path) -> LLM:
    return LLM.load(portable_bundle)


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_values_are_taken_or_refused(llm: LLM, argument: str) -> None:
    raw, counts = {}, {"tried": 0, "held": 0, "refused": 0}
    for name, value in VALUES.items():
        counts["tried"] += 1
        llm.reset()
        try:
            ARGUMENTS[argument](llm, value)
        except BundleRuntimeError as error:
            counts["refused"] += 1
            if not str(error).strip():
                raw[name] = "no message"
        except BaseException as error:
            raw[name] = f"{type(error).__name__}: {error}"[:200]
        else:
            counts["held"] += 1
    record("argument", {argument: counts})
    assert raw == {}
    llm.reset()
    assert llm.generate("abc", max_new_tokens=1).tokens  # and nothing is stuck


def test_a_callers_own_error_is_passed_on(llm: LLM) -> None:
    def write(text: str) -> None:
        raise KeyError(text)

    with pytest.raises(KeyError):
        llm.generate("abc", max_new_tokens=3, on_text=write)
    assert llm.generate("abc", max_new_tokens=1).tokens
    assert issubclass(ArgumentError, ValueError)
