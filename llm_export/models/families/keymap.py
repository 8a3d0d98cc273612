"""Map tensor names of a checkpoint to those of the decoder, and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]
Cut = Callable[["Tensor", Sequence[Shape]], "list[Tensor]"]
Join = Callable[["list[Tensor]"], "Tensor"]

_HOLES = {"{i}": r"(?P<i>\d+)", "{e}": r"(?P<e>\d+)", "{leaf}": r"(?P<leaf>weight|bias)"}


def cut_rows(tensor: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    """Split along the first dimension into the row counts of the targets."""
    import torch

    return list(torch.split(tensor, [shape[0] for shape in shapes]))


def join_rows(tensors: list[Tensor]) -> Tensor:
    import torch

    return torch.cat(tensors)


@dataclass(frozen=True)
class Split:
    """A checkpoint tensor that corresponds to several decoder tensors.

    Attributes:
        source, targets: templates; a target's ``{e}`` that the source lacks runs over all
            experts, target after target for each.
        cut: (tensor, shapes of the targets) -> the target tensors.
        join: the inverse of ``cut``.
        written: whether folders are written so; if not, the tensors have names of their own too.
    """

    source: str
    targets: tuple[str, ...]
    cut: Cut = cut_rows
    join: Join = join_rows
    written: bool = True


class KeyMap:
    """Name templates may contain ``{i}`` (a layer), ``{e}`` (an expert), ``{leaf}`` (weight or
    bias).
    """

    def __init__(
        self,
        pairs: Iterable[tuple[str, str]],
        splits: Iterable[Split] = (),
        ignored: Iterable[str] = (),
    ) -> None:
        self.pairs = list(pairs)
        self.splits = list(splits)
        self._ignored = [re.compile(p) for p in ignored]
        self._forward = [(_pattern(source), target) for source, target in self.pairs]
        self._backward = [(_pattern(target), source) for source, target in self.pairs]
        self._cuts = [(_pattern(split.source), split) for split in self.splits]

    def to_model(self, name: str) -> str | None:
        """The decoder's name, or None if the checkpoint's name does not map to exactly one."""
        return _convert(self._forward, name)

    def to_checkpoint(self, name: str) -> str | None:
        return _convert(self._backward, name)

    def split(self, name: str, wanted: Container[str]) -> tuple[Split, list[str]] | None:
        """The rule that splits ``name``, and the decoder names of its parts."""
        for pattern, split in self._cuts:
            match = pattern.fullmatch(name)
            if match:
                targets = _expand(split.targets, match.groupdict(), wanted)
                if targets and all(t in wanted for t in targets):
                    return split, targets
        return None

    def joined(self, target: str, wanted: Container[str]) -> tuple[Split, str, list[str]] | None:
        """The rule with ``target`` as a part, the checkpoint's name, and all parts."""
        for split in (each for each in self.splits if each.written):
            for template in split.targets:
                match = _pattern(template).fullmatch(target)
                if match is None:
                    continue
                name = split.source.format(**match.groupdict())
                found = self.split(name, wanted)
                if found is not None and target in found[1]:
                    return split, name, found[1]
        return None

    def ignores(self, name: str) -> bool:
        return any(p.fullmatch(name) for p in self._ignored)


def _expand(templates: tuple[str, ...], holes: dict[str, str], wanted: Container[str]) -> list[str]:
    if "e" in holes or not any("{e}" in t for t in templates):
        return [t.format(**holes) for t in templates]
    targets: list[str] = []
    expert = 0
    while templates[0].format(**holes, e=expert) in wanted:
        targets += [t.format(**holes, e=expert) for t in templates]
        expert += 1
    return targets


def _pattern(template: str) -> re.Pattern[str]:
    pattern = re.escape(template)
    for hole, regex in _HOLES.items():
        pattern = pattern.replace(re.escape(hole), regex)
    return re.compile(pattern)


def _convert(table: list[tuple[re.Pattern[str], str]], name: str) -> str | None:
    for pattern, target in table:
        match = pattern.fullmatch(name)
        if match:
            return target.format(**match.groupdict())
    return None
