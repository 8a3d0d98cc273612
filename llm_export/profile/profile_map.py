"""profile_map.json: which module of the model each instruction of a program comes from.

A program has no names of modules. The lower stage writes them beside it: for each instruction its
operator and module, for each delegate the operators inside it in their order, and the bytes of
weights that each reads. Strings are stored once, in tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_export.bundle.roles import ROLES
from llm_export.errors import BundleError
from llm_export.files import write_text
from llm_export.profile.kinds import KINDS

FORMAT = 1
PROFILE_MAP = ROLES["profile_map"]
_KIND_AT = {kind: at for at, kind in enumerate(KINDS)}


@dataclass(frozen=True)
class Operation:
    """
    Attributes:
        operator: namespace::name.
        module: path of the module in the model; '' is the model itself.
        kind: one of ``kinds.KINDS``.
        bytes: of the weights that it reads, as the program stores them.
    """

    operator: str
    module: str
    kind: str
    bytes: int = 0


@dataclass(frozen=True)
class Call:
    """An instruction.

    Attributes:
        own: of a delegate, its backend as the operator, and the module that contains all inside.
        inside: operators of a delegate in the order of its graph; () of a kernel.
    """

    own: Operation
    inside: tuple[Operation, ...] = ()


@dataclass(frozen=True)
class ProfileMap:
    """
    Attributes:
        methods: method -> index of an instruction -> what it calls.
        weights: module -> bytes of its weights in the program; shared ones count once.
    """

    methods: Mapping[str, Mapping[int, Call]]
    weights: Mapping[str, int]

    def write(self, path: Path) -> None:
        write_text(path, json.dumps(self.as_dict(), separators=(",", ":")) + "\n")

    def as_dict(self) -> dict[str, object]:
        strings = _Strings()
        methods = {
            name: [
                [index, *strings.row(call.own), *([strings.rows(call.inside)] * bool(call.inside))]
                for index, call in sorted(calls.items())
            ]
            for name, calls in self.methods.items()
        }
        weights = [[strings.of(module), size] for module, size in self.weights.items()]
        return {
            "format": FORMAT, "kinds": list(KINDS), "strings": strings.all, "methods": methods,
            "weights": weights,
        }  # fmt: skip

    @classmethod
    def read(cls, path: Path) -> ProfileMap:
        """Raises BundleError if the file is missing, damaged or of a later format."""
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BundleError(
                "the bundle has no map from instructions to modules", where=str(path), fix=NO_MAP
            ) from None
        except (OSError, ValueError):
            raise _damaged(path, "no JSON in UTF-8") from None
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            found = body.get("format") if isinstance(body, dict) else None
            raise BundleError(
                f"the map from instructions to modules has format {found!r}; this version reads "
                f"{FORMAT}",
                where=str(path), fix="the version of llm_export that wrote it, or a new export",
            )  # fmt: skip
        try:
            return _read(body)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise _damaged(path, f"{type(error).__name__}: {error}") from None


NO_MAP = "earlier versions wrote none: export the recipe again, llm-export run BUNDLE/recipe.yaml"


def _damaged(path: Path, why: str) -> BundleError:
    return BundleError(
        f"the map from instructions to modules is damaged ({why})", where=str(path),
        fix="llm-export verify BUNDLE tells which files differ; export it again",
    )  # fmt: skip


def _read(body: Mapping[str, Any]) -> ProfileMap:
    strings: Sequence[str] = body["strings"]
    kinds: Sequence[str] = body["kinds"]

    def operation(row: Sequence[int]) -> Operation:
        operator, module, kind, size = row
        return Operation(strings[operator], strings[module], kinds[kind], int(size))

    methods = {
        name: {
            int(index): Call(operation(row[:4]), tuple(map(operation, row[4] if row[4:] else ())))
            for index, *row in rows
        }
        for name, rows in body["methods"].items()
    }
    return ProfileMap(methods, {strings[module]: int(size) for module, size in body["weights"]})


class _Strings:
    def __init__(self) -> None:
        self._at: dict[str, int] = {}

    @property
    def all(self) -> list[str]:
        return list(self._at)

    def of(self, text: str) -> int:
        return self._at.setdefault(text, len(self._at))

    def row(self, one: Operation) -> list[int]:
        return [self.of(one.operator), self.of(one.module), _KIND_AT[one.kind], one.bytes]

    def rows(self, some: Iterable[Operation]) -> list[list[int]]:
        return [self.row(one) for one in some]
