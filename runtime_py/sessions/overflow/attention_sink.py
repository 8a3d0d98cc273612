"""Let a program that was exported for it forget the oldest tokens by itself."""

from __future__ import annotations

from typing import ClassVar

from runtime_py.engines.engine import Engine
from runtime_py.errors import BundleRuntimeError
from runtime_py.sessions.overflow.policy import Overflow


class AttentionSink(Overflow):
    """Attend to the first tokens and the newest ones (Xiao et al., 2023, arXiv:2309.17453). Nothing
    is fed again, and a text may be of any length."""

    name: ClassVar[str] = "attention_sink"

    def check(self, program: Engine) -> None:
        if not program.attention_sink:
            raise BundleRuntimeError(
                "the program was not exported with an attention sink", where=str(program.path),
                fix="export again with runtime.kv_cache=attention_sink, or overflow=\"slide\"",
            )  # fmt: skip
