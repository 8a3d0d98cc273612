"""What a session does when a turn would not fit the context: one policy in each file."""

from __future__ import annotations

from runtime_py.engines.engine import Engine
from runtime_py.errors import ArgumentError, shown
from runtime_py.sessions.overflow.attention_sink import AttentionSink
from runtime_py.sessions.overflow.policy import Overflow, Turn
from runtime_py.sessions.overflow.slide import Slide
from runtime_py.sessions.overflow.stop import Stop
from runtime_py.sessions.overflow.summarise import Summarise

__all__ = ["POLICIES", "AttentionSink", "Overflow", "Slide", "Stop", "Summarise", "Turn", "policy"]

POLICIES: dict[str, type[Overflow]] = {
    each.name: each for each in (Stop, Slide, AttentionSink, Summarise)
}


def policy(given: Overflow | str | None, program: Engine) -> Overflow:
    """The policy of a name; None is what the program was exported for.

    Raises:
        BundleRuntimeError: there is none of this name, or it needs another program.
    """
    if given is None:
        return AttentionSink() if program.attention_sink else Stop()
    if isinstance(given, str):
        if given == Summarise.name:
            raise ArgumentError(
                "summarise needs a function", fix="overflow=Summarise(lambda messages: ...)"
            )
        if given not in POLICIES:
            raise ArgumentError(
                f"there is no overflow policy {shown(given)}", fix=f"one of {', '.join(POLICIES)}"
            )
        given = POLICIES[given]()
    if not isinstance(given, Overflow):
        raise ArgumentError(
            f"overflow must be a policy or its name, not {type(given).__name__}",
            fix=f"one of {', '.join(POLICIES)}",
        )
    given.check(program)
    return given
