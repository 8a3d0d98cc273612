"""Damage to a bundle, as data: what a disk, a download, a text editor or an enemy may do to it."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READ = ("model.pte", "tokenizer.json", "chat_template.jinja", "manifest.json")
"""Files that a load reads."""
LOCK = "recipe.lock.yaml"
DEEP: Any = []
for _ in range(300):
    DEEP = [DEEP]
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 319, 320, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400,
    0.5, 1.0, -0.5, 1e-300, 1e308, float("nan"), float("inf"), "", "x", "é", "\ud800", "\0", "../x",
    "/etc/passwd", "model.pte", "n" * 300, [], {}, [None], [-1], {"forward": 0}, {"x": "y"}, DEEP,
)  # fmt: skip


@dataclass(frozen=True)
class Mutation:
    """``kind`` is a name of KINDS; ``seed`` decides all else."""

    kind: str
    seed: int

    def apply(self, folder: Path, others: Path) -> str:
        """Damage the bundle in ``folder``; returns what was done.

        Args:
            others: a bundle of another program and tokenizer.
        """
        return KINDS[self.kind](random.Random(self.seed), folder, others)


def mutations(seed: int, count: int) -> Iterator[Mutation]:
    """``count`` mutations, each kind in turn."""
    names = list(KINDS)
    for index in range(count):
        yield Mutation(names[index % len(names)], seed + index)


def _read(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text()))


def _write(folder: Path, manifest: Any) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest))


def forge(folder: Path, name: str, data: bytes) -> None:
    """Write the file, and its size and hash wherever the bundle states them."""
    (folder / name).write_bytes(data)
    manifest, digest = _read(folder), hashlib.sha256(data).hexdigest()
    former = manifest["files"][name]["sha256"]
    manifest["files"][name] = {"bytes": len(data), "sha256": digest}
    _write(folder, manifest)
    if name != LOCK and former in (lock := (folder / LOCK).read_text()):
        forge(folder, LOCK, lock.replace(former, digest).encode())


def _a_file(draw: random.Random, folder: Path) -> Path:
    every = sorted(file.name for file in folder.iterdir())
    return folder / draw.choice([*READ, draw.choice(every)])


def bit(draw: random.Random, folder: Path, others: Path) -> str:
    file = _a_file(draw, folder)
    data = bytearray(file.read_bytes())
    place = draw.randrange(min(len(data), draw.choice([64, 4096, len(data)])))
    data[place] ^= 1 << draw.randrange(8)
    file.write_bytes(data)
    return f"a bit of byte {place} of {file.name}"


def bytes_replaced(draw: random.Random, folder: Path, others: Path) -> str:
    file = _a_file(draw, folder)
    data = bytearray(file.read_bytes())
    place, count = draw.randrange(len(data)), draw.choice([1, 8, 1000])
    data[place : place + count] = draw.randbytes(draw.choice([0, count]))
    file.write_bytes(data)
    return f"{count} bytes at {place} of {file.name}"


def cut(draw: random.Random, folder: Path, others: Path) -> str:
    file = _a_file(draw, folder)
    data = file.read_bytes()
    length = draw.choice([0, 1, len(data) // 2, len(data) - 1, len(data) + 1])
    file.write_bytes((data + b"\0")[:length])
    return f"{file.name} of {length} bytes"


def gone(draw: random.Random, folder: Path, others: Path) -> str:
    file = _a_file(draw, folder)
    file.unlink()
    how = draw.choice(["missing", "a folder", "a link to itself", "a link to nothing"])
    if how == "a folder":
        file.mkdir()
    elif how != "missing":
        file.symlink_to(file if "itself" in how else folder / "nothing")
    return f"{file.name} is {how}"


def swapped(draw: random.Random, folder: Path, others: Path) -> str:
    name = draw.choice(READ[:3])
    shutil.copyfile(others / name, folder / name)
    return f"{name} of another bundle"


def swapped_and_forged(draw: random.Random, folder: Path, others: Path) -> str:
    name = draw.choice(READ[:3])
    forge(folder, name, (others / name).read_bytes())
    return f"{name} of another bundle, its hash forged"


def file_of_another_kind(draw: random.Random, folder: Path, others: Path) -> str:
    name, source = draw.sample(READ[:3], 2)
    forge(folder, name, (folder / source).read_bytes())
    return f"{source} as {name}, its hash forged"


def head_forged(draw: random.Random, folder: Path, others: Path) -> str:
    data = bytearray((folder / "model.pte").read_bytes())
    # Not the length of the header, and what lies after it: see probe for what only a try shows.
    place, value = draw.choice([*range(12), *range(16, 40)]), draw.randrange(256)
    data[place] = value
    forge(folder, "model.pte", bytes(data))
    return f"byte {place} of the program is {value}, its hash forged"


def program_cut_and_forged(draw: random.Random, folder: Path, others: Path) -> str:
    data = (folder / "model.pte").read_bytes()
    length = draw.choice([0, 3, 8, 39, 40, 64, 1000, len(data) // 2, len(data) - 1])
    forge(folder, "model.pte", data[:length])
    return f"a program of {length} bytes, its hash forged"


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(item, (*path, key))


def _changed(draw: random.Random, body: Any, path: tuple[Any, ...]) -> str:
    """Replace, delete or add a value at ``path``."""
    holder = body
    for key in path[:-1]:
        holder = holder[key]
    shown = ".".join(map(str, path))
    how = draw.choice(["value", "value", "value", "number", "deleted", "added"])
    now = holder[path[-1]]
    if how == "deleted":
        del holder[path[-1]]
    elif how == "added" and isinstance(now, dict):
        now[draw.choice(["x", "", "messages", "forward", "\ud800", "n" * 300])] = _value(draw)
    elif how == "number" and isinstance(now, int | float):
        holder[path[-1]] = draw.choice([now * 2, now + 1, now - 1, -now, now * 1.0, now * 10**9])
    else:
        holder[path[-1]] = _value(draw)
    return f"{shown} {how}"


def _value(draw: random.Random) -> Any:
    return draw.choice(VALUES)


def manifest_field(draw: random.Random, folder: Path, others: Path) -> str:
    manifest = _read(folder)
    # One of the parts that a runtime reads, more often than one of the others.
    part = draw.choice(["program", "tokenizer", "sampling", "requires", "roles", "files", None])
    chosen = manifest if part is None else {part: manifest[part]}
    path = draw.choice([p for p in _places(chosen) if p])
    said = _changed(draw, manifest, path)
    _write(folder, manifest)
    return f"manifest: {said}"


def tokenizer_field(draw: random.Random, folder: Path, others: Path) -> str:
    body = json.loads((folder / "tokenizer.json").read_text())
    path = draw.choice([p for p in _places(body) if p])
    said = _changed(draw, body, path)
    forge(folder, "tokenizer.json", json.dumps(body).encode())
    return f"tokenizer.json: {said}, its hash forged"


def token_added(draw: random.Random, folder: Path, others: Path) -> str:
    body = json.loads((folder / "tokenizer.json").read_text())
    number = draw.choice([320, 321, 10**6, 2**31, 2**32 - 1])
    body["added_tokens"].append({
        "id": number, "content": draw.choice(["H", "Hello", "l", "<|x|>"]), "single_word": False,
        "lstrip": False, "rstrip": False, "normalized": False, "special": draw.random() < 0.5,
    })  # fmt: skip
    forge(folder, "tokenizer.json", json.dumps(body).encode())
    return f"an added token {number}, its hash forged"


def template_forged(draw: random.Random, folder: Path, others: Path) -> str:
    source = draw.choice([
        b"\xff\xfe", b"{% if %}", b"{{ 'x' * 10**11 }}", b"{{ messages[0].content ~ '\\ud800' }}",
        b"{{ 1 / 0 }}", b"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", b"(" * 5000,
        b"{{ " + b"(" * 5000, b"{{ messages | center(10**12) }}", b"{{ raise_exception('no') }}",
    ])  # fmt: skip
    forge(folder, "chat_template.jinja", source)
    return f"a template {source[:30]!r}, its hash forged"


def specials_named(draw: random.Random, folder: Path, others: Path) -> str:
    manifest = _read(folder)
    name = draw.choice(["messages", "tools", "add_generation_prompt", "self", "loop", "range", ""])
    manifest["tokenizer"]["special_tokens"][name] = "x"
    _write(folder, manifest)
    return f"a special token named {name!r}"


KINDS: dict[str, Callable[[random.Random, Path, Path], str]] = {
    function.__name__: function
    for function in (
        bit,
        bytes_replaced,
        cut,
        gone,
        swapped,
        swapped_and_forged,
        file_of_another_kind,
        head_forged,
        program_cut_and_forged,
        manifest_field,
        manifest_field,
        tokenizer_field,
        token_added,
        template_forged,
        specials_named,
    )
}
