"""Which file of a folder is what."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from runtime_py.errors import BundleRuntimeError

USUAL = "model.pte"
_MOST = 100
"""Programs of a folder that are listed."""


@dataclass(frozen=True)
class Found:
    """
    Attributes:
        data: weights that are not in the program; None: all are.
        folders: where files of the tokenizer may be, the nearest first.
        tokenizer: tokenizer.json, if the user named it.
    """

    program: Path
    data: Path | None
    folders: tuple[Path, ...]
    tokenizer: Path | None = None

    def file(self, *names: str) -> Path | None:
        """The first of the files that there is."""
        for folder in self.folders:
            for name in names:
                if (folder / name).is_file():
                    return folder / name
        return None


def one_program(names: Sequence[str], where: str) -> str:
    """The program among the files of a folder: model.pte, or the only one.

    Raises:
        BundleRuntimeError: there is none, or are several.
    """
    programs = sorted(name for name in names if name.endswith(".pte"))
    usual = [name for name in programs if PurePosixPath(name).name == USUAL]
    if len(programs) == 1 or len(usual) == 1:
        return (usual or programs)[0]
    if not programs:
        raise BundleRuntimeError(
            "this is not a bundle: there is neither manifest.json nor a .pte file", where=where,
            fix="llm-export run RECIPE makes a bundle",
        )  # fmt: skip
    stages = {PurePosixPath(name).name for name in programs}
    if {"prefill.pte", "decode.pte"} <= stages:
        raise BundleRuntimeError(
            "the model is in several programs, prefill.pte and decode.pte, which hand the KV cache "
            "to one another", where=where,
            fix="transformers: ExecutorchExporter().export(...) makes one program",
        )  # fmt: skip
    some = ", ".join(programs[:8]) + (", ..." if len(programs) > 8 else "")
    raise BundleRuntimeError(
        f"there are {len(programs)} programs: {some}", where=where,
        fix="give the path of one of them",
    )  # fmt: skip


def find(path: Path, tokenizer: Path | None) -> Found:
    """
    Args:
        path: a .pte file, or a folder with one.
        tokenizer: a file or a folder; None looks beside the program.

    Raises:
        BundleRuntimeError: there is no program, or the tokenizer does not exist.
    """
    if path.is_dir():
        names = [file.relative_to(path).as_posix() for file in _programs(path)]
        program = path / one_program(names, str(path))
        above = [each for each in program.parents if each == path or path in each.parents]
    else:
        program, above = path, _above(path)
    beside = sorted(program.parent.glob("*.ptd"))
    same = [file for file in beside if file.stem == program.stem]
    if len(beside) > 1 and len(same) != 1:
        raise BundleRuntimeError(
            f"there are {len(beside)} files of weights: "
            f"{', '.join(file.name for file in beside[:8])}", where=str(program.parent),
            fix=f"name that of the program {program.stem}.ptd, or leave it alone there",
        )  # fmt: skip
    data = next(iter(same or beside), None)
    if tokenizer is None:
        return Found(program, data, tuple(above))
    if not tokenizer.exists():
        raise BundleRuntimeError("there is no such tokenizer", where=str(tokenizer))
    if tokenizer.is_dir():
        return Found(program, data, (tokenizer,))
    return Found(program, data, (tokenizer.parent,), tokenizer)


def _programs(folder: Path) -> list[Path]:
    """Files of programs in a folder laid out as on the hub: SIZE/BACKEND/NAME.pte. It may be any
    folder of a disk, so that no more of it is read.
    """
    found: list[Path] = []
    for pattern in ("*.pte", "*/*.pte", "*/*/*.pte"):
        found += itertools.islice(folder.glob(pattern), _MOST)
    return found


def _above(program: Path) -> list[Path]:
    """The folder of a program; and in a snapshot of the hub those above it too."""
    parents = list(program.absolute().parents)
    for index, folder in enumerate(parents):
        if folder.parent.name == "snapshots":
            return parents[: index + 1]
    return parents[:1]
