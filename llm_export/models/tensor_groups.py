"""Group tensors that differ only in their layer number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from llm_export.models.inventory import TensorRow

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True)
class TensorGroup:
    """``count`` tensors of equal shape, type and status; ``name`` as a.{0..29}.b."""

    name: str
    count: int
    row: TensorRow


def group_layers(rows: Iterable[TensorRow]) -> list[TensorGroup]:
    """Group the tensors, in order of first appearance."""
    found: dict[tuple[object, ...], tuple[TensorRow, list[tuple[int, ...]]]] = {}
    for row in rows:
        template = _NUMBER.sub("{}", row.name)
        key = (template, row.shape, row.dtype, row.status, row.misfit)
        numbers = tuple(int(n) for n in _NUMBER.findall(row.name))
        found.setdefault(key, (row, []))[1].append(numbers)
    return [
        TensorGroup(_name(str(key[0]), numbers), len(numbers), row)
        for key, (row, numbers) in found.items()
    ]


def _name(template: str, numbers: list[tuple[int, ...]]) -> str:
    parts = template.split("{}")
    columns = [_ranges(sorted(set(column))) for column in zip(*numbers, strict=True)]
    return parts[0] + "".join(c + p for c, p in zip(columns, parts[1:], strict=True))


def _ranges(numbers: list[int]) -> str:
    """[3] -> 3; [0, 1, 2, 5] -> {0..2,5}."""
    if len(numbers) == 1:
        return str(numbers[0])
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [f"{r[0]}..{r[-1]}" if len(r) > 2 else ",".join(map(str, r)) for r in runs]
    return "{" + ",".join(texts) + "}"
