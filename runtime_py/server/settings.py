"""How a server is set up."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime_py.errors import ArgumentError, shown

_JSON = 8 * 1024 * 1024
_AUDIO = 25 * 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """
    Attributes:
        host: address to listen on.
        port: 0 takes a free one.
        api_keys: a client must send one of them; none: any client is served.
        model_name: what clients call the model; None is the bundle's name.
        max_queue: most requests that wait.
        timeout: seconds for a request, with its wait.
        max_body: most bytes of a request; None: 8 MiB, or OpenAI's 25 MiB of one with an audio.
        max_tokens: most tokens of an answer; None: as many as the context has room for.
        slots: conversations that are kept warm, and answers that are generated in turns.
        slice: pieces of text of an answer before it is the turn of the next; 0: each is generated
            to its end before the next one begins.
        grace: seconds that running answers have to end when the server is stopped.
        allow_origins: web pages of other origins that may use the server, as
            https://HOST[:PORT]; ``*`` is any.
        allow_hosts: further names that a request's Host may have.
        store: file of the conversations; None keeps none.
        engine: what runs the program; see ``LLM.load``.
        threads: size of the thread pool; None keeps ExecuTorch's choice.
        tokenizer, adapter, verify_hashes: those of ``LLM.load``.

    Raises:
        ArgumentError: a value is out of its range.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    model_name: str | None = None
    max_queue: int = 64
    timeout: float = 600.0
    max_body: int | None = None
    max_tokens: int | None = None
    slots: int = 4
    slice: int = 16
    grace: float = 30.0
    allow_origins: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    store: Path | None = None
    engine: str = "executorch"
    tokenizer: str | None = None
    threads: int | None = None
    adapter: str | None = None
    verify_hashes: bool = True

    def __post_init__(self) -> None:
        for name, low, high in (
            ("port", 0, 65535), ("max_queue", 1, 2**31), ("slots", 1, 1024), ("slice", 0, 2**31),
        ):  # fmt: skip
            _check(name, getattr(self, name), low, high, whole=True)
        for name, low, high in (("max_body", 1024, 2**40), ("max_tokens", 1, 2**31)):
            if getattr(self, name) is not None:
                _check(name, getattr(self, name), low, high, whole=True)
        _check("timeout", self.timeout, 0.001, 1e9)
        _check("grace", self.grace, 0, 1e9)
        if any(not key or not key.isascii() or not key.isprintable() for key in self.api_keys):
            raise ArgumentError("an API key must be printable ASCII characters, at least one")
        for origin in self.allow_origins:
            scheme, separator, host = origin.partition("://")
            if origin != "*" and not (scheme and separator and host and "/" not in host):
                raise ArgumentError(
                    f"no origin: {shown(origin)}", fix="https://HOST, https://HOST:PORT or *"
                )

    @property
    def max_json(self) -> int:
        """Most bytes of a request without an audio."""
        return _JSON if self.max_body is None else self.max_body

    @property
    def max_audio(self) -> int:
        """Most bytes of a request with an audio."""
        return _AUDIO if self.max_body is None else self.max_body

    @property
    def loopback(self) -> bool:
        """Whether only programs of this machine reach the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check(name: str, value: Any, low: float, high: float, whole: bool = False) -> None:
    kind = int if whole else (int, float)
    good = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not low <= value <= high:
        what = "a whole number" if whole else "a number"
        raise ArgumentError(f"{name} must be {what} from {low} to {high}, not {shown(value)}")
