"""The same greedy tokens however a session came to its text, for each kind of cache."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from quick_run import INT8_CACHE

from runtime_py import LLM, Session

pytestmark = pytest.mark.slow

PROMPT = [5 + i % 200 for i in range(100)]
KINDS = {
    "float": ("backend=portable",),
    "8da8w": ("backend=xnnpack", "quant=8da8w"),
    "int8 cache": INT8_CACHE,
    "outside": ("backend=xnnpack", "runtime=npu", "runtime.prefill_length=8"),
    "sinks": ("backend=portable", "runtime.kv_cache=attention_sink", "runtime.context_length=48",
              "verify.window=40"),
}  # fmt: skip
RELEASE = ("float", "int8 cache", "outside")
"""The others have a program without a backend, and one with int8 products."""
CODE = """
import json, sys
from runtime_py import LLM
session = LLM.load(sys.argv[1]).session()
session.restore(sys.argv[2])
print(json.dumps(session.generate(max_new_tokens=128, temperature=0, ignore_eos=True).tokens))
"""


def tokens(session: Session) -> list[int]:
    return session.generate(max_new_tokens=128, temperature=0, ignore_eos=True).tokens


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.release if kind in RELEASE else ())
        for kind in (*KINDS, "recurrent")
    ],
)
def test_the_same_tokens(
    export: Callable[..., Path], request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    bundle: Path = (
        request.getfixturevalue("recurrent_bundle") if kind == "recurrent" else export(*KINDS[kind])
    )
    with LLM.load(bundle) as llm:
        session = llm.session()
        session.append(PROMPT)
        fork, other = session.fork(), llm.session()
        session.save(tmp_path / "s")
        expected = tokens(session)
        assert len(expected) == 128
        other.append(PROMPT[::-1])  # the program has another text
        assert tokens(fork) == expected
        session.truncate(len(PROMPT))
        assert tokens(session) == expected
        other.restore(tmp_path / "s")
        assert tokens(other) == expected
        if kind != "sinks":
            slides(llm)
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(bundle), str(tmp_path / "s")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == expected


def slides(llm: LLM) -> None:
    session = llm.session(overflow="slide")
    filling = [5 + i % 190 for i in range(session.capacity - 40)]
    made = session.generate(filling, max_new_tokens=80, temperature=0, ignore_eos=True)
    assert made.finish == "length"
    assert session.position < session.capacity
    fresh = llm.session()
    fresh.append(session.tokens)
    assert tokens(session) == tokens(fresh)
