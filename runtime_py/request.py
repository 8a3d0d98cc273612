"""Check and complete what a caller asks of a generation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from runtime_py.chat_template import unknown_argument
from runtime_py.controls import CONTROLS, Controls
from runtime_py.errors import ArgumentError, check_whole, shown
from runtime_py.sampling import SETTINGS, Sampling

OnText = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """
    Attributes:
        stop: strings that end the answer; none is empty.
        seed: None draws one.
        controls: settings beside those of sampling.
    """

    sampling: Sampling
    stop: tuple[str, ...] = ()
    seed: int | None = None
    controls: Controls = field(default_factory=Controls)


def checked_request(
    defaults: Sampling,
    settings: Mapping[str, Any],
    *,
    sampling: Sampling | None = None,
    stop: str | Sequence[str] | None = (),
    seed: int | None = None,
    on_text: OnText | None = None,
) -> Request:
    """
    Args:
        settings: fields of Sampling that replace those of ``sampling``, or else of ``defaults``,
            and of Controls.
        stop: one string, or several.
        on_text: only checked.

    Raises:
        ArgumentError: an argument has the wrong type or value.
    """
    if sampling is not None and not isinstance(sampling, Sampling):
        raise ArgumentError(
            f"sampling must be a Sampling, not {type(sampling).__name__}",
            fix="sampling=Sampling(temperature=0.7), or temperature=0.7",
        )
    for name in settings:
        if name not in ARGUMENTS:
            raise unknown_argument(name, [*ARGUMENTS, *_OTHERS])
    _check_seed(seed)
    if on_text is not None and not callable(on_text):
        raise ArgumentError(f"on_text must be a function, not {type(on_text).__name__}")
    own = {name: value for name, value in settings.items() if name in SETTINGS}
    chosen = replace(sampling or defaults, **own)
    controls = {name: value for name, value in settings.items() if name not in SETTINGS}
    return Request(chosen, _checked_stop(stop), seed, Controls.checked(**controls))


def seeds(seed: int | None, n: int) -> Sequence[int | None]:
    """Those of ``n`` answers: the first one's, and each further one's the next.

    Raises:
        ArgumentError: ``n`` is no number of answers, or a seed has more than 64 bits.
    """
    check_whole("n", n, 1)
    _check_seed(seed)
    if seed is None:
        return [None] * n
    _check_seed(seed + n - 1)
    return range(seed, seed + n)


def _check_seed(seed: Any) -> None:
    if seed is not None and (type(seed) is not int or not -(2**63) <= seed < 2**64):
        raise ArgumentError(f"seed must be a whole number of 64 bits or None, not {shown(seed)}")


ARGUMENTS = (*SETTINGS, *CONTROLS)
"""Names of what a caller may say beside the arguments of ``checked_request``."""
_OTHERS = ("sampling", "stop", "seed", "on_text")


def _checked_stop(stop: Any) -> tuple[str, ...]:
    if stop is None:
        return ()
    texts = (stop,) if isinstance(stop, str) else stop
    if isinstance(texts, bytes | Mapping) or not isinstance(texts, Sequence | set | frozenset):
        raise ArgumentError(f"stop must be a text or a list of texts, not {type(stop).__name__}")
    for text in texts:
        if not isinstance(text, str) or not text:
            raise ArgumentError(
                f"a stop string must be a text that is not empty, not {shown(text)}"
            )
    return tuple(texts)


def is_messages(prompt: Any) -> bool:
    """Whether ``prompt`` is a conversation, and neither a text nor token ids."""
    if isinstance(prompt, str | bytes) or not isinstance(prompt, Sequence):
        return False
    return len(prompt) > 0 and not hasattr(prompt[0], "__index__")
