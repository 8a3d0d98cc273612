"""The settings of a measurement, checked before anything is copied."""

from __future__ import annotations

from typing import Any

from llm_export.errors import BundleError, InputError
from runtime_py.bundle import Bundle

_LEAST = {"prompt_length": 1, "decode_length": 1, "repetitions": 1, "threads": 1, "warmup": 0}
_ALSO = ("adapter", "max_seconds")


def check_settings(bundle: Bundle, settings: dict[str, Any]) -> None:
    """
    Args:
        settings: arguments of ``runtime_py.benchmark``; some may be lists of values.

    Raises:
        InputError: a number is out of its range.
        BundleError: the lengths do not fit the bundle's context.
    """
    longest = {}
    for name, least in _LEAST.items():
        values = values_of(settings.get(name))
        for value in values:
            if type(value) is not int or not least <= value < 2**31:
                raise InputError(
                    f"{name} must be a whole number from {least} to 2**31 - 1, not {value!r}"
                )
        longest[name] = max(values, default=0)
    length = longest["prompt_length"] + longest["decode_length"]
    if length > (most := bundle.manifest["program"]["context_length"]):
        raise BundleError(f"{length} tokens do not fit the context of {most}",
                          where=str(bundle.path), fix="shorter lengths")  # fmt: skip


def values_of(value: Any) -> list[Any]:
    """The values of a setting that may be a list; none for None."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def single(settings: dict[str, Any], context_length: int) -> dict[str, int]:
    """Lengths, warm-up, repetitions and threads, of which a native runner is measured with one
    each; lengths that are not given fit the context.

    Raises:
        InputError: there are several values, or a setting that such a runner does not know.
    """
    found: dict[str, int] = {}
    for name, value in settings.items():
        values = values_of(value)
        if name not in _LEAST and name not in _ALSO and any(values):
            raise InputError(f"a native runner knows no {name}",
                             fix="leave it out, or measure with the device's Python")  # fmt: skip
        if len(values) > 1:
            raise InputError(f"{name} has {len(values)} values; a native runner takes one",
                             fix="one command for each")  # fmt: skip
        if values and name in _LEAST:
            found[name] = values[0]
    left = (
        context_length - found["prompt_length"]
        if "prompt_length" in found
        else (context_length // 4)
    )
    decode = found.get("decode_length", max(1, min(128, left)))
    prompt = max(1, min(512, context_length - decode))
    return {"warmup": 1, "repetitions": 5, "decode_length": decode, "prompt_length": prompt,
            **found}  # fmt: skip
