"""The settings of a measurement, checked before anything is copied."""

from __future__ import annotations

from typing import Any

from llm_export.errors import InputError
from runtime_py.benchmark.plan import cases, numbers, wanted
from runtime_py.bundle import Bundle
from runtime_py.manifest import is_endless

_LENGTHS = ("prompt_length", "decode_length", "depth", "threads")
_USUAL = {"warmup": 1, "repetitions": 5}
_ALSO = ("prompt_length", "decode_length", "threads", "adapter", "max_seconds")


def check_settings(bundle: Bundle, settings: dict[str, Any]) -> None:
    """
    Args:
        settings: arguments of ``runtime_py.benchmark``; some may be lists of values.

    Raises:
        ArgumentError: a number is out of its range.
        BundleRuntimeError: the lengths do not fit the bundle's context.
    """
    for name, least in (("warmup", 0), ("repetitions", 1)):
        numbers(name, settings.get(name), least=least)
    cases(wanted(*map(settings.get, _LENGTHS)), context_of(bundle))


def context_of(bundle: Bundle) -> int | None:
    """Tokens that a program takes; None is any number."""
    program = bundle.manifest["program"]
    return None if is_endless(program) else int(program["context_length"])


def single(settings: dict[str, Any], context: int | None) -> dict[str, int]:
    """Lengths, warm-up, repetitions and threads, of which a native runner is measured with one
    each; lengths that are not given fit the context.

    Raises:
        InputError: there are several values, or a setting that such a runner does not know.
    """
    found = dict(_USUAL)
    for name, value in settings.items():
        values = _values_of(value)
        if name not in _USUAL and name not in _ALSO and any(values):
            raise InputError(f"a native runner knows no {name}",
                             fix="leave it out, or measure with the device's Python")  # fmt: skip
        if len(values) > 1:
            raise InputError(f"{name} has {len(values)} values; a native runner takes one",
                             fix="one command for each")  # fmt: skip
        if values and (name in _USUAL or name == "threads"):
            found[name] = values[0]
    ((prompt, decode, _),) = cases(wanted(*map(settings.get, _LENGTHS)), context)[0]
    return {**found, "prompt_length": prompt, "decode_length": decode}


def _values_of(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
