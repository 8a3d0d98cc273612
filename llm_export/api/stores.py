"""Files of sessions, messages and cached prefixes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime_py.store import Store


@contextlib.contextmanager
def store(
    file: str | Path, *, max_bytes: int | None = None, create: bool = False
) -> Iterator[Store]:
    """Context manager: open a file that keeps sessions; see ``runtime_py.store.Store``. Errors of
    the runtime in the block are raised as those of llm_export.

    Args:
        max_bytes: limit of the file from now on; None keeps what it has.
        create: make the file if there is none.

    Raises:
        BundleError: there is no such file, it is no store, or it cannot be used.
    """
    from llm_export.api.bundles import runtime_errors

    with runtime_errors():
        from runtime_py.store import Store

        with Store(file, max_bytes=max_bytes, create=create) as found:
            yield found
