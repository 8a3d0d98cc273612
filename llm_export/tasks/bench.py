"""Measure a bundle whose task has figures of its own: its contract's, with load time and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from llm_export.config.benchmark_schema import BenchmarkConfig
from llm_export.config.several import several
from llm_export.json_data import to_json
from llm_export.tasks.contract import TaskContract
from runtime_py import memory
from runtime_py.benchmark.formats import formats
from runtime_py.benchmark.words import DISTURBED, aligned, disturbed, markdown
from runtime_py.bundle import Bundle
from runtime_py.conditions import OtherLoad, processor
from runtime_py.method_program import MethodProgram
from runtime_py.program_file import warm_up_imports
from runtime_py.threads import thread_count

SCHEMA_VERSION = 1
"""Of the result of ``bench_task``."""


def bench_task(
    bundle: Bundle,
    contract: TaskContract,
    settings: BenchmarkConfig,
    progress: Callable[[str], object],
) -> dict[str, Any]:
    """
    Returns:
        ``measures``: the figures of the contract's ``speed``; load time and memory beside them.
        Memory is that of the whole process.
    """
    file = bundle.file("program")
    assert file is not None
    progress("loading")
    warm_up_imports()
    memory.reset_peak()
    bare = memory.resident()
    begin = time.perf_counter()
    program = MethodProgram(file)
    load = time.perf_counter() - begin
    program.close()
    progress("measuring")
    with OtherLoad() as other:
        measures = contract.speed(bundle.path, settings)
    machine = processor()
    threads = list(several(settings.threads)) or [thread_count()]
    conditions = other.conditions(machine, max(threads))
    return {
        "schema_version": SCHEMA_VERSION,
        "bundle": str(bundle.path),
        "task": bundle.manifest["task"]["name"],
        "settings": {"threads": threads, "repetitions": settings.repetitions},
        "machine": machine,
        **({"conditions": conditions} if conditions else {}),
        "load_seconds": load,
        "peak_memory_bytes": memory.peak(),
        "bare_memory_bytes": bare,
        "program_bytes": Path(file).stat().st_size,
        "measures": [to_json(measure) for measure in measures],
    }


def text(result: Mapping[str, Any], form: str) -> str:
    """A result of ``bench_task`` in one of ``runtime_py.benchmark.FORMATS``."""
    return _FORMATS[form](result)


def _rows(result: Mapping[str, Any]) -> list[list[str]]:
    mark = f", {DISTURBED}" if disturbed(result) else ""
    rows = [
        [each["title"], f"{each['value']:,.4g} {each['unit']}".strip() + mark]
        for each in result["measures"]
    ]
    peak, bare = result["peak_memory_bytes"], result["bare_memory_bytes"]
    beside = f"{peak / 1e6:.0f} MB; {(peak - bare) / 1e6:.0f} MB without Python and libraries"
    return [
        *rows,
        ["load", f"{result['load_seconds']:.2f} s"],
        ["peak memory", beside],
        ["program", f"{result['program_bytes'] / 1e6:.1f} MB"],
    ]


def _head(result: Mapping[str, Any]) -> str:
    threads = ", ".join(map(str, result["settings"]["threads"]))
    return (
        f"{result['machine']['processor']}, {threads} threads; the task {result['task']}; median "
        f"of {result['settings']['repetitions']} repetitions"
    )


def _table(result: Mapping[str, Any]) -> str:
    return _page(result, aligned(_rows(result), left=(0, 1)))


def _others(result: Mapping[str, Any]) -> list[str]:
    if not disturbed(result):
        return []
    return ["", f"{DISTURBED}: other processes kept "
            f"{result['conditions']['other_cpus']:.2f} CPUs busy; measure when idle"]  # fmt: skip


def _markdown(result: Mapping[str, Any]) -> str:
    return _page(result, markdown([["figure", "value"], *_rows(result)], left=(0, 1)))


def _page(result: Mapping[str, Any], rows: list[str]) -> str:
    return "\n".join([_head(result), "", *rows, *_others(result)])


def _flat(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for each in result["measures"]:
        yield {
            "bundle": result["bundle"], "processor": result["machine"]["processor"],
            "task": result["task"],
            **{key: each[key] for key in ("name", "title", "value", "unit")},
            "load_seconds": result["load_seconds"],
            "peak_memory_bytes": result["peak_memory_bytes"], DISTURBED: disturbed(result),
        }  # fmt: skip


_FORMATS = formats(_table, _markdown, _flat)
