"""Commands and recipe keys that mend what a contract finds."""

from __future__ import annotations

from collections.abc import Iterable

from llm_export.backends import BACKENDS
from llm_export.backends.capabilities import Capabilities
from llm_export.config.schema import AttentionKind
from llm_export.consumers.contract import Contract
from llm_export.consumers.facts import BundleFacts

OUTSIDE = AttentionKind.static_io.value
"""The attention kind whose caches are inputs and outputs of the program."""


_NAMED = 3


class Fixes:
    """Of one bundle."""

    def __init__(self, facts: BundleFacts) -> None:
        self._run = facts.rerun

    def again(self) -> str:
        """Make the bundle again with this version."""
        return self._run

    def with_keys(self, *keys: str) -> str:
        return " ".join([self._run, *keys]).strip()

    def with_backend(self, contract: Contract, *keys: str, dynamic: bool = False) -> str:
        """A backend that the consumer has, whose programs take int64 and keep their caches, and
        further keys.

        Args:
            dynamic: whether the program must take steps of any length.
        """
        names = [
            name
            for name in options_for(contract.backends)
            if takes_tokens_alone(BACKENDS.get(name).capabilities, dynamic)
        ]
        also = f" (or backend={', '.join(names[1:_NAMED])})" if names[1:] else ""
        return self.with_keys(*(f"backend={name}" for name in names[:1]), *keys) + also


def options_for(delegates: Iterable[str] | None) -> list[str]:
    """Backends whose programs need no other delegates, in the order of the delegates, then those
    whose programs need none: kernels that take any length are ExecuTorch's own. None: all."""
    found = {name: getattr(BACKENDS.get(name), "delegate", None) for name in BACKENDS.sound()}
    order = [name for name in BACKENDS.in_order() if name in found]
    wanted = [found[name] for name in order] if delegates is None else list(delegates)
    fitting = [name for d in wanted if d for name in order if found[name] == d]
    plain = [n for n in order if found[n] == "" and BACKENDS.get(n).capabilities.dynamic_shapes]
    return [*dict.fromkeys([*fitting, *plain])]


def takes_tokens_alone(capabilities: Capabilities, dynamic: bool = False) -> bool:
    """Whether programs take int64 tokens and a position and keep their caches themselves.

    Args:
        dynamic: whether steps must also have any length.
    """
    fixed = not capabilities.dynamic_shapes
    inside = capabilities.attention_kinds(dynamic=not fixed)[:1] != (OUTSIDE,)
    return inside and capabilities.token_dtype == "int64" and not (dynamic and fixed)
