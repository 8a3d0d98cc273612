"""Measure one artifact in this process: python child.py REQUEST, a JSON object.

Needs the standard library and the runtime's package only. Prints a JSON object in its last line:
what was measured, or ``missing`` (a package) or ``error``.
"""

import sys

# The folder of this file, whose names are those of the packages.
sys.path[:] = sys.path[1:]

import json  # noqa: E402
import runpy  # noqa: E402
import statistics  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

AGREE, WARMUPS = 0.05, 5
"""As in runtime_py.benchmark."""
_VOCABULARY = 30_000


class Timed:
    """A runtime's ``prefill`` and ``decode``; of one that returns all tokens at once, differences
    of two calls."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self.whole = not hasattr(runtime, "prefill")

    def prefill(self, ids: list, depth: int) -> float:
        if not self.whole:
            return float(self._runtime.prefill(ids, depth))
        before = self._runtime.generated(ids[:depth], 1) if depth else 0.0
        return float(self._runtime.generated(ids, 1) - before)

    def decode(self, ids: list, count: int) -> float:
        if not self.whole:
            return float(self._runtime.decode(ids, count))
        first = self._runtime.generated(ids, 1)
        return float(self._runtime.generated(ids, 1 + count) - first)


def measured(request: dict) -> dict:
    kind = runpy.run_path(request["file"])["RUNTIME"]
    begin = time.perf_counter()
    runtime = kind(Path(request["path"]), request["threads"], request["context"])
    started = time.perf_counter() - begin
    timed, vocabulary = Timed(runtime), getattr(runtime, "vocabulary", _VOCABULARY)
    tests = [_test(timed, vocabulary, *case, request=request) for case in request["cases"]]
    return {
        "start_seconds": started,
        "peak_memory_bytes": _peak(),
        "tests": tests,
        "differences": timed.whole or getattr(kind, "differences", False),
    }


def _test(
    timed: Timed, vocabulary: int, prompt: int, decode: int, depth: int, *, request: dict
) -> dict:
    ids = [(i * 7919 + 13) % vocabulary for i in range(depth + prompt)]

    def once() -> tuple:
        return timed.prefill(ids, depth), timed.decode(ids, decode)

    last = None
    warmup = request["warmup"]
    for _ in range(WARMUPS if warmup is None else warmup):
        this = once()
        agree = last and all(abs(a - b) <= AGREE * max(a, b) for a, b in zip(this, last))  # noqa: B905 - Python 3.9
        last = this
        if warmup is None and agree:
            break
    rounds = [once() for _ in range(request["repetitions"])]
    prefills, decodes = (statistics.median(each) for each in zip(*rounds))  # noqa: B905
    # The difference of two calls may be nothing.
    return {
        "prefill_tokens_per_second": prompt / prefills if prefills > 0 else None,
        "decode_tokens_per_second": decode / decodes if decodes > 0 else None,
    }


def _peak() -> int:
    """Largest resident memory of this process, in bytes; see runtime_py.memory."""
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            return next(int(x.split()[1]) * 1024 for x in file if x.startswith("VmHWM:"))
    except (OSError, StopIteration):
        import resource

        found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return found if sys.platform == "darwin" else found * 1024


def main() -> None:
    try:
        found = measured(json.loads(sys.argv[1]))
    except ImportError as error:
        found = {"missing": error.name or str(error)}
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    print("\n" + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
