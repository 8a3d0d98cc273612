"""What classes have in common that load a bundle of a task other than text generation."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from runtime_py.bundle import Bundle
from runtime_py.bundle_task import require_task
from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.foreign import opened
from runtime_py.packed import named
from runtime_py.threads import check_threads

Self = TypeVar("Self", bound="TaskBundle")


class Closable(Protocol):
    @property
    def closed(self) -> bool: ...

    def close(self) -> None: ...


class TaskBundle(ABC):
    """A loaded bundle, which ``with`` closes at the end of the block."""

    takes_turns: ClassVar[bool] = True
    """Whether another input may be begun before one is done, by the same thread."""

    bundle: Bundle
    _program: Closable
    _lock: AbstractContextManager[Any]

    @property
    def closed(self) -> bool:
        return self._program.closed

    def close(self) -> None:
        """Release the program's memory. Afterwards it can do nothing more."""
        with self._lock:
            self._program.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @abstractmethod
    def _able(self) -> str:
        """What it takes, for ``repr``."""

    def __repr__(self) -> str:
        manifest = self.bundle.manifest
        backends = "+".join(manifest["requires"]["backends"]) or "not delegated"
        made = f"{manifest['model']['parameters'] / 1e6:.4g}M parameters, {backends}"
        state = "; closed" if self.closed else ""
        return (
            f"<{type(self).__name__} {manifest['name']} ({made}): {self._able()}{state}; "
            f"{self.bundle.path}>"
        )


def open_task(
    path: str | Path | Bundle, task: str, threads: int | None, verify_hashes: bool
) -> tuple[Bundle, Path, Path]:
    """A bundle of a task, its program and its tokenizer.json.

    Args:
        path: of a folder or of a file of ``llm-export pack``, a repository of the hub, or an open
            bundle.
        threads: checked, before anything is downloaded.

    Raises:
        ArgumentError: an argument is wrong.
        BundleRuntimeError: the bundle is damaged, or of another task.
    """
    if not isinstance(path, str | os.PathLike):
        raise ArgumentError(f"path must be that of a bundle, not {type(path).__name__}")
    check_threads(threads)
    bundle = opened(path)
    with named(path, bundle.path):
        require_task(bundle, task)
        file, tokenizer = bundle.file("program"), bundle.file("tokenizer")
        if file is None or tokenizer is None:
            raise BundleRuntimeError(
                f"the bundle has no {'program' if file is None else 'tokenizer'}",
                where=str(bundle.path), fix="export it again",
            )  # fmt: skip
        if verify_hashes:
            bundle.check_hashes([file, tokenizer])
    return bundle, file, tokenizer
