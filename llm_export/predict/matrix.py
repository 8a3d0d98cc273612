"""The weight of a linear or an embedding, without its values."""

from __future__ import annotations

from dataclasses import dataclass

from llm_export.config.quant_schema import ModuleKind


@dataclass(frozen=True)
class Matrix:
    """The weight [rows, columns] of a linear or an embedding."""

    name: str
    kind: ModuleKind
    rows: int
    columns: int
    bias: bool = False

    @property
    def count(self) -> int:
        return self.rows * self.columns


def linear(name: str, rows: int, columns: int, bias: bool = False) -> Matrix:
    return Matrix(name, ModuleKind.linear, rows, columns, bias)
