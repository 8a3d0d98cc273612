"""Flags and output of verbs that work on another device."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from llm_export import api
from llm_export.cli.layout import gib
from llm_export.errors import RecipeError


def add_target(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("on another device")
    for name, meta, text in (
        ("--target", "TARGET", "ssh:[USER@]HOST[:PORT], adb[:SERIAL] or local; default: here"),
        ("--target-python", "PATH", "the device's Python, which has executorch; default python3"),
        ("--runner", "PATH", "ExecuTorch's llama_main, built for the device, or a folder with it "
                             "and its libraries; build compiles a small one for Linux"),
    ):  # fmt: skip
        group.add_argument(name, metavar=meta, help=text)
    group.add_argument("--runner-arg", action="append", default=[], metavar="ARG",
                       help="a further one for the runner: --runner-arg=--num_bos=1")  # fmt: skip
    group.add_argument("--time-limit", type=float, default=3600.0, metavar="S",
                       help="seconds of measurement on the device; default 3600")  # fmt: skip
    group.add_argument("--keep", action="store_true",
                       help="leave what was copied there even on failure")  # fmt: skip
    group.add_argument("--clear", action="store_true",
                       help="remove what was copied there, in any case")  # fmt: skip


def bench_on_target(
    options: argparse.Namespace, bundle: str, settings: dict[str, Any]
) -> dict[str, Any] | None:
    """The result of the benchmark on ``--target``, None without that flag; tells on standard error
    what it does.

    Args:
        options: of ``bench``.
        settings: those of the measurement.

    Raises:
        LlmExportError: see ``api.bench_on``.
    """
    if not options.target:
        return None
    if not options.time_limit > 0:
        raise RecipeError("--time-limit must be above 0", fix="--time-limit 600")
    return api.bench_on(
        bundle,
        options.target,
        runner=options.runner,
        runner_arguments=options.runner_arg,
        python=options.target_python,
        keep=options.keep,
        clear=options.clear,
        time_limit=options.time_limit,
        say=_say,
        **settings,
    )


def device_rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows for a table: the device, and how warm and fast it was before and after."""
    device = result.get("device")
    if device is None:
        return []
    before, after = device["before"], device["after"]
    rows = [*_facts(device), ("temperature", _change(_hottest(before), _hottest(after), "°C")),
            ("battery", _change(before["battery"].get("celsius"),
                                after["battery"].get("celsius"), "°C")),
            ("fastest CPU", _change(_gigahertz(before), _gigahertz(after), "GHz")),
            ("frequency limit", _limit(device, after)),
            ("on the device", device["folder"] or "")]  # fmt: skip
    return [(name, text) for name, text in rows if text]


def print_device(target: str, *, as_json: bool) -> None:
    """Print what a device is, and how warm and fast it is."""
    found = api.device(target)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    now = found["now"]
    rows = [*_facts(found), ("free memory", _gib(now.get("available_bytes"))),
            ("governor", now.get("governor") or ""),
            ("load average", _with_unit(now.get("load_average"), "")),
            ("temperature", _with_unit(_hottest(now), "°C")),
            ("fastest CPU", _with_unit(_gigahertz(now), "GHz"))]  # fmt: skip
    for name, text in rows:
        if text:
            print(f"{name:<20} {text}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _facts(device: dict[str, Any]) -> list[tuple[str, str]]:
    cpus = f"{device['logical_cpus']} CPUs" if device["logical_cpus"] else ""
    chip = device["soc"] if device["soc"] != device["processor"] else ""
    parts = (device["product"], chip, device["processor"], cpus, device["architecture"])
    system = (device["release"], f"{device['system']} {device['kernel']}".strip())
    return [
        ("device", ", ".join(filter(None, parts))),
        ("system", ", ".join(filter(None, system))),
        ("memory", _gib(device["memory_bytes"])),
    ]


def _hottest(reading: dict[str, Any]) -> float | None:
    from llm_export.json_data import from_json
    from llm_export.targets.facts import Reading

    return from_json(Reading, reading).hottest


def _gigahertz(reading: dict[str, Any]) -> float | None:
    return max(reading["hertz"]) / 1e9 if reading["hertz"] else None


def _limit(device: dict[str, Any], after: dict[str, Any]) -> str:
    """Whether the system holds a CPU below its own highest frequency, as it does under heat."""
    limits, most = after["hertz_limit"], device["max_hertz"]
    if len(limits) != len(most) or all(a >= b for a, b in zip(limits, most, strict=True)):
        return ""
    return f"lowered: {max(limits) / 1e9:.2f} of {max(most) / 1e9:.2f} GHz after the measurement"


def _change(before: float | None, after: float | None, unit: str) -> str:
    if before is None or after is None:
        return ""
    return f"{_number(before)} before, {_number(after)} {unit} after"


def _with_unit(value: float | None, unit: str) -> str:
    return "" if value is None else f"{_number(value)} {unit}".strip()


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _gib(count: int | None) -> str:
    return gib(count) if count else ""
