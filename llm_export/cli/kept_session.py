"""A conversation of the terminal that a store keeps."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llm_export import api
from llm_export.cli.store import size_of
from llm_export.errors import BundleError, InputError

if TYPE_CHECKING:
    from runtime_py import LLM, Generation
    from runtime_py.store import Store


def add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", metavar="FILE",
                        help="keep the conversation in this file, and what is cached of it; "
                        "`llm-export store` lists them")  # fmt: skip
    parser.add_argument("--session", metavar="ID",
                        help="of the file: an id, last, or new (default)")  # fmt: skip
    parser.add_argument("--store-size", metavar="SIZE",
                        help="limit of the file from now on, such as 500MB")  # fmt: skip


class KeptSession:
    """
    Attributes:
        messages: those that were kept before.
    """

    def __init__(self, store: Store, llm: LLM, name: str, settings: Mapping[str, Any]) -> None:
        self._store, self._llm, self._settings = store, llm, settings
        self._name: str | None = None
        self.messages: list[dict[str, Any]] = []
        self._kept: dict[str, Any] = {}
        if name == "new":
            return
        if name != "last" and not store.has(name):
            raise BundleError(
                f"there is no session {name}", where=str(store.path),
                fix=f"llm-export store ls {store.path}, or --session new",
            )  # fmt: skip
        self.messages = store.resume(llm, name)
        record = store.session(name)
        self._name, self._kept = record.id, record.settings

    @property
    def settings(self) -> dict[str, Any]:
        """Sampling flags of the session, and those of this command line, which precede."""
        from runtime_py.sampling import SETTINGS

        own = {name: value for name, value in self._kept.items() if name in SETTINGS}
        return {**own, **self._settings}

    def save(self, messages: Sequence[Mapping[str, Any]], result: Generation | None) -> None:
        """Write the conversation as it is now.

        Raises:
            BundleError: it cannot be written.
        """
        with api.runtime_errors():
            self._name = self._store.save(
                self._llm, messages, id=self._name,
                settings={**self._kept, **self._settings},
                stats=None if result is None else result.stats.as_dict(),
            )  # fmt: skip

    def begin_another(self) -> None:
        """The next one to be saved is a new session."""
        from runtime_py.store.records import new_id

        self._name = new_id()

    def told(self) -> str:
        """One line for the beginning of a conversation."""
        if self._name is None:
            return f"a new session of {self._store.path}"
        record = self._store.session(self._name)
        return f"session {record.id}: {record.title or '(no title)'}, {record.messages} messages"


@contextlib.contextmanager
def kept(
    options: argparse.Namespace, llm: LLM, settings: Mapping[str, Any]
) -> Iterator[KeptSession | None]:
    """The session that the command line names, if any."""
    if options.store is None:
        for flag in ("session", "store_size"):
            if getattr(options, flag) is not None:
                name = flag.replace("_", "-")
                raise InputError(
                    f"--{name} needs --store", where=f"--{name}", fix="--store FILE"
                )  # fmt: skip
        yield None
        return
    limit = None if options.store_size is None else size_of(options.store_size, "--store-size")
    name = options.session or "new"
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(api.store(options.store, max_bytes=limit, create=name == "new"))
        if llm.gives_state:  # sessions share what they begin with, such as a system message
            stack.enter_context(store.attach(llm, save=False))
        yield KeptSession(store, llm, name, settings)
