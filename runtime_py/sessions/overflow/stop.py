"""Refuse a turn that does not fit; end an answer where the context ends."""

from __future__ import annotations

from typing import ClassVar

from runtime_py.engines.engine import Engine
from runtime_py.sessions.overflow.policy import Overflow, refuse_sink


class Stop(Overflow):
    """A prompt that leaves no room for an answer is refused, and an answer ends with
    ``finish="context"``."""

    name: ClassVar[str] = "stop"

    def check(self, program: Engine) -> None:
        refuse_sink(self.name, program)
