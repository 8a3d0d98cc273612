"""List, show and change what a file of `llm-export chat --store FILE` keeps.

llm-export store ls FILE                 its sessions
llm-export store show FILE last          the messages of a session: an id of ls, or last
llm-export store rm FILE ID ID           remove sessions
llm-export store export FILE last        a session as lines of JSON, on standard output
llm-export store import FILE A.jsonl     sessions that were exported
llm-export store stats FILE              sizes, and what is cached of which program
llm-export store limit FILE 500MB        limit of the file
llm-export store check FILE              whether the file is sound; exit code 2 if not
llm-export store vacuum FILE             give the room of what was removed back to the disk
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export import api
from llm_export.cli.cache import age
from llm_export.cli.runtime_args import printable
from llm_export.errors import InputError
from llm_export.files import bytes_of

if TYPE_CHECKING:
    from runtime_py.store import Store, StoredMessage, StoredSession


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("words", metavar="ID", nargs="*",
                        help="ids of sessions; files for import, a size for limit")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    act, least, most, what = ACTIONS[options.action]
    count = len(options.words)
    if count < least or (most is not None and count > most):
        raise InputError(
            f"{options.action} takes {what}, not {count}",
            where=f"llm-export store {options.action}", fix="llm-export store --help",
        )  # fmt: skip
    with api.store(options.file, create=options.action == "import") as store:
        return act(store, options.words) or 0


def size_of(text: str, where: str) -> int:
    """Bytes of a size such as 500MB.

    Raises:
        InputError: it is no size.
    """
    found = bytes_of(text)
    if found is None:
        raise InputError(f"no size: '{printable(text)}'", where=where, fix="500MB, or 4GB")
    return found


def _list(store: Store, _: list[str]) -> None:
    sessions = store.sessions()
    if sessions:
        width = max(len(each.id) for each in sessions)
        print(f"{'id':<{width}}  {'messages':>8}  {'cached':>12}  {'written':>9}  title")
    for each in sessions:
        tokens = f"{_cached(store, each)}/{each.tokens}"
        print(
            f"{each.id:<{width}}  {each.messages:>8}  {tokens:>12}  "
            f"{age(time.time() - each.updated):>9}  {_title(each)}"
        )
    count = f"{len(sessions)} session{'s' * (len(sessions) != 1)}"
    print(f"{count}; cached: tokens that need not be fed again, of those of the session",
          file=sys.stderr)  # fmt: skip


def _show(store: Store, ids: list[str]) -> None:
    for number, name in enumerate(ids or ["last"]):
        session = store.session(name)
        print("\n" * bool(number) + _title(session))
        facts = [f"session {session.id}", printable(session.model) or "no model",
                 f"{_cached(store, session)} of {session.tokens} tokens cached",
                 f"written {age(time.time() - session.updated)}"]  # fmt: skip
        print(", ".join(facts))
        if session.branch_of:
            print(f"branch of {session.branch_of}")
        if session.settings:
            print(printable(", ".join(f"{key}={value}" for key, value in session.settings.items())))
        for message in store.messages(session.id):
            _print_message(message)


def _print_message(stored: StoredMessage) -> None:
    message, stats = stored.message, stored.stats or {}
    head = str(message["role"])
    if "generated_tokens" in stats:
        speed = stats.get("decode_tokens_per_second") or 0.0
        head += f"  [{stats['generated_tokens']} tokens, {speed:.1f} tokens/s]"
    print(f"\n{printable(head)}")
    if message.get("reasoning_content"):
        _print_text(f"(thinking) {message['reasoning_content']}")
    content = message.get("content")
    for part in content if isinstance(content, list) else [content]:
        text = part.get("text", f"[{part.get('type')}]") if isinstance(part, dict) else part
        if text:
            _print_text(str(text))
    for call in message.get("tool_calls") or ():
        function: Any = call.get("function", call) if isinstance(call, dict) else {}
        _print_text(f"(call) {function.get('name')} {function.get('arguments')}")


def _print_text(text: str) -> None:
    for line in text.splitlines():
        print(f"  {printable(line)}")


def _remove(store: Store, ids: list[str]) -> None:
    names = [store.session(name).id for name in dict.fromkeys(ids)]
    for name in dict.fromkeys(names):
        store.delete(name)
        print(f"removed {name}")


def _export(store: Store, ids: list[str]) -> None:
    for name in ids or ["last"]:
        for line in store.export(name):
            print(line)


def _import(store: Store, files: list[str]) -> None:
    for file in files:
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"cannot be read: {reason}", where=file) from None
        name = store.import_(lines)
        print(f"{name}  {_title(store.session(name))}")


def _stats(store: Store, _: list[str]) -> None:
    found = store.stats()
    print(f"{found.sessions} sessions, {found.messages} messages")
    print(f"{_size(found.file_bytes)} of at most {_size(found.max_bytes)}, of which "
          f"{_size(found.prefix_bytes)} are cached prefixes and "
          f"{_size(found.file_bytes - found.used_bytes)} free")  # fmt: skip
    for each in found.prefixes:
        each_token = each.bytes / max(each.tokens, 1)
        adapter = f", adapter {each.adapter[:8]}" if each.adapter else ""
        print(f"  {printable(each.model) or 'a model'} (program {each.program[:8]}{adapter}): "
              f"{each.tokens} tokens in {each.blocks} blocks, {_size(each.bytes)}, "
              f"{_size(each_token)} each")  # fmt: skip


def _limit(store: Store, words: list[str]) -> None:
    with api.store(store.path, max_bytes=size_of(words[0], "limit")) as changed:
        print(f"limit: {_size(changed.max_bytes)}")


def _check(store: Store, _: list[str]) -> int:
    found = store.check()
    for line in found:
        print(printable(line))
    if not found:
        print("sound")
    return 2 if found else 0


def _vacuum(store: Store, _: list[str]) -> None:
    before = store.stats().file_bytes
    store.vacuum()
    print(f"{_size(before)} before, {_size(store.stats().file_bytes)} now")


ACTIONS: dict[str, tuple[Callable[[Store, list[str]], int | None], int, int | None, str]] = {
    "ls": (_list, 0, 0, "a file only"),
    "show": (_show, 0, None, "ids of sessions"),
    "rm": (_remove, 1, None, "ids of sessions"),
    "export": (_export, 0, None, "ids of sessions"),
    "import": (_import, 1, None, "files"),
    "stats": (_stats, 0, 0, "a file only"),
    "limit": (_limit, 1, 1, "one size"),
    "check": (_check, 0, 0, "a file only"),
    "vacuum": (_vacuum, 0, 0, "a file only"),
}
"""Name -> (function, least and most further words, what they are)."""


def _cached(store: Store, session: StoredSession) -> int:
    return store.prefixes.length(session.program, session.adapter, store.tokens(session.id))


def _title(session: StoredSession) -> str:
    return printable(session.title) or "(no title)"


def _size(count: float) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.4g} {unit}"
    return f"{count:.0f} bytes"
