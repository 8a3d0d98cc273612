"""Which rule applies to which module: the first that matches."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from llm_export.config.schema import ModuleKind, QuantRule
from llm_export.errors import RecipeError
from llm_export.models.contract import LanguageModel
from llm_export.quant.schemes import SCHEMES


@dataclass(frozen=True)
class Choice:
    """What was decided for one module's weight.

    ``rule`` is the index of the rule that matched, or None if none did (float32).
    ``bytes`` is what the file should hold for it: weights, scales and zero points.
    """

    name: str
    kind: ModuleKind
    shape: tuple[int, ...]
    scheme: str
    group_size: int | None
    rule: int | None
    bytes: int

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "kind": self.kind.value, "bits_per_weight": self.bits_per_weight}

    @property
    def bits_per_weight(self) -> float:
        count = self.shape[0] * self.shape[1]
        return round(8 * self.bytes / count, 3)


def kind_of(model: nn.Module, name: str, module: nn.Module) -> ModuleKind | None:
    """The kind that rules speak of, or None for modules without a matrix.

    Of the embeddings it is the tokens'; tables of positions stay as they are.
    """
    known = isinstance(model, LanguageModel)
    if isinstance(module, nn.Embedding):
        tokens = not known or module is model.input_embedding()
        return ModuleKind.embedding if tokens else None
    if isinstance(module, nn.Linear):
        head = model.head_name if known else "head"
        return ModuleKind.head if name == head else ModuleKind.linear
    return None


def choose(model: nn.Module, rules: Iterable[QuantRule]) -> list[Choice]:
    """One Choice for every linear and embedding.

    Raises:
        RecipeError: a group size does not divide a matrix, or a rule matches nothing.
    """
    rules = list(rules)
    hits = [0] * len(rules)
    choices = []
    for name, module in model.named_modules():
        kind = kind_of(model, name, module)
        if kind is None:
            continue
        index = next((i for i, rule in enumerate(rules) if matches(rule, name, kind)), None)
        scheme, group = "none", None
        if index is not None:
            hits[index] += 1
            scheme, group = rules[index].scheme, rules[index].group_size
        shape = (int(module.weight.shape[0]), int(module.weight.shape[1]))  # type: ignore[union-attr,arg-type]
        if scheme != "none" and group is not None and shape[1] % group:
            raise RecipeError(
                f"group_size {group} does not divide the {shape[1]} inputs of '{name}'",
                where=f"quant.rules[{index}].group_size",
                fix=f"divisors that are multiples of 32: {_divisors(shape[1]) or 'none'}",
            )
        size = weight_bytes(shape, scheme, group)
        choices.append(Choice(name, kind, shape, scheme, group, index, size))
    for index, count in enumerate(hits):
        if not count:
            rule = rules[index]
            raise RecipeError(
                f"the rule matches no module: kind={rule.kind.value if rule.kind else None}, "
                f"pattern={rule.pattern}",
                where=f"quant.rules[{index}]",
                fix="an earlier rule may take its modules; remove the rule or move it up",
            )
    return choices


def matches(rule: QuantRule, name: str, kind: ModuleKind) -> bool:
    return (rule.kind is None or rule.kind == kind) and bool(re.fullmatch(rule.pattern, name))


def weight_bytes(shape: tuple[int, ...], scheme: str, group: int | None) -> int:
    """Bytes of a matrix in the file: weights, and a float32 scale and a zero point a group."""
    count = shape[0] * shape[1]
    bits = SCHEMES[scheme].weight_bits
    if scheme == "none":
        return count * 4
    groups = shape[0] * (shape[1] // group if group else 1)
    return count * bits // 8 + groups * 5


def _divisors(size: int) -> str:
    return ", ".join(str(d) for d in range(32, size + 1, 32) if size % d == 0)
