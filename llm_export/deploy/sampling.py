"""Settings of sampling that the code of an app does not take."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

_NEUTRAL = {
    "top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0, "repetition_penalty": 1.0,
    "presence_penalty": 0.0, "frequency_penalty": 0.0,
}  # fmt: skip
"""Values that change nothing; the penalties also change which token is the most likely."""
_CHOOSES = ("top_k", "top_p", "min_p", "typical_p")


def not_taken(
    sampling: Mapping[str, Any], taken: Collection[str] = (), hottest: float | None = None
) -> tuple[str, ...]:
    """As they are written.

    Args:
        sampling: of a manifest.
        taken: settings, beside the temperature, that the app samples with.
        hottest: the highest temperature that it takes; None: any.
    """
    greedy = sampling["temperature"] == 0
    found = [
        f"{key}={sampling[key]}"
        for key, neutral in _NEUTRAL.items()
        if key not in taken
        and not (greedy and key in _CHOOSES)
        and sampling.get(key, neutral) != neutral
    ]
    if hottest is not None and sampling["temperature"] > hottest:
        found.append(f"temperature={sampling['temperature']} above {hottest:g}")
    return tuple(found)
