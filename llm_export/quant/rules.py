"""Which rule applies to which module: the first that matches."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from llm_export.config.qat_schema import QatConfig
from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.config.rule_checks import beyond_words, last_layer, layers_fix
from llm_export.errors import RecipeError
from llm_export.models.contract import LanguageModel
from llm_export.quant.grid import GridSpec
from llm_export.quant.schemes import SCHEMES, Flow, supported


@dataclass(frozen=True)
class Choice:
    """What was decided for one module's weight, and what came of it.

    Attributes:
        rule: index of the rule that matched, or None if none did (float32).
        bytes: what the file should hold for it: weights, scales, and what is kept in float.
        shared_with: module whose stored integers (or floats) are this one's too.
        qat: the fake quantizer that the weight was trained with.
        rounding: "kept" if the weight was on the grid already, "qat" if it was trained to be on
            it, else the method that rounded it.
        sqnr_db: of the rounded weight against the float one.
        group_bytes: that the backend stores for a group beside its scale.
    """

    name: str
    kind: ModuleKind
    shape: tuple[int, ...]
    scheme: str
    group_size: int | None
    rule: int | None
    zero_point: bool = False
    outliers: int = 0
    scale_dtype: str = "float32"
    shared_with: str | None = None
    qat: QatConfig | None = None
    rounding: str | None = None
    sqnr_db: float | None = None
    group_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        facts = {**asdict(self), "kind": self.kind.value, "bytes": self.bytes}
        return {**facts, "bits_per_weight": self.bits_per_weight}

    @property
    def flow(self) -> Flow:
        return SCHEMES[self.scheme].flow

    @property
    def on_grid(self) -> bool:
        """Whether its weight is rounded to a grid before export."""
        return self.flow is Flow.weights

    @property
    def spec(self) -> GridSpec:
        """The grid of its scheme."""
        bits, dtype = SCHEMES[self.scheme].weight_bits, getattr(torch, self.scale_dtype)
        return GridSpec(bits, self.group_size, self.zero_point, dtype)

    @property
    def bytes(self) -> int:
        return weight_bytes(self)

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


def choose(
    model: nn.Module, rules: Iterable[QuantRule], backend: str | None = None
) -> list[Choice]:
    """One Choice for every linear and embedding.

    Args:
        backend: whose kernels decide how scales are kept; None is float32.

    Raises:
        RecipeError: a group size does not divide a matrix, a rule matches nothing, or speaks
            of layers that the model does not have.
    """
    rules = list(rules)
    _require_layers(model, rules)
    hits = [0] * len(rules)
    choices = []
    for name, module in model.named_modules():
        kind = kind_of(model, name, module)
        if kind is None:
            continue
        index = next((i for i, rule in enumerate(rules) if matches(rule, name, kind)), None)
        shape = (int(module.weight.shape[0]), int(module.weight.shape[1]))  # type: ignore[union-attr,arg-type]
        rule = QuantRule(scheme="none") if index is None else rules[index]
        if index is not None:
            hits[index] += 1
            _require_fit(rule, index, name, shape)
        choices.append(choice_of(rule, index, name, kind, shape, backend))
    for index, count in enumerate(hits):
        if not count:
            rule = rules[index]
            raise RecipeError(
                f"the rule matches no module: kind={rule.kind.value if rule.kind else None}, "
                f"pattern={rule.pattern}, layers={rule.layers}",
                where=f"quant.rules[{index}]",
                fix="an earlier rule may take its modules; remove the rule or move it up",
            )
    return choices


def _require_layers(model: nn.Module, rules: list[QuantRule]) -> None:
    found = [layer_of(name) for name, _ in model.named_modules()]
    depth = 1 + max((layer for layer in found if layer is not None), default=-1)
    for index, rule in enumerate(rules):
        if rule.layers is not None and depth and last_layer(rule.layers) >= depth:
            raise RecipeError(
                beyond_words(rule.layers, depth),
                where=f"quant.rules[{index}].layers", fix=layers_fix(depth),
            )  # fmt: skip


def matches(rule: QuantRule, name: str, kind: ModuleKind) -> bool:
    if rule.kind is not None and rule.kind != kind:
        return False
    return _in_layers(rule.layers, name) and bool(re.fullmatch(rule.pattern, name))


def _in_layers(layers: str | None, name: str) -> bool:
    if layers is None:
        return True
    layer = layer_of(name)
    return layer is not None and any(_in_range(part.strip(), layer) for part in layers.split(","))


def layer_of(name: str) -> int | None:
    """The decoder layer that a module is in."""
    found = re.search(r"(?:^|\.)layers\.(\d+)\.", name)
    return int(found.group(1)) if found else None


def _in_range(part: str, layer: int) -> bool:
    """One of 3, 3-5, 3- and -5."""
    first, dash, last = part.partition("-")
    if not dash:
        return layer == int(first)
    return int(first or 0) <= layer <= (int(last) if last else layer)


def _require_fit(rule: QuantRule, index: int, name: str, shape: tuple[int, int]) -> None:
    group = rule.group_size
    if rule.scheme == "none":
        return
    if group is not None and shape[1] % group:
        raise RecipeError(
            f"group_size {group} does not divide the {shape[1]} inputs of '{name}'",
            where=f"quant.rules[{index}].group_size",
            fix=f"divisors that are multiples of 32: {_divisors(shape[1]) or 'none'}",
        )
    if rule.outliers >= shape[1]:
        raise RecipeError(
            f"{rule.outliers} outliers of the {shape[1]} inputs of '{name}'",
            where=f"quant.rules[{index}].outliers", fix="fewer; 2 to 16 are usual",
        )  # fmt: skip


def choice_of(
    rule: QuantRule, index: int | None, name: str, kind: ModuleKind, shape: tuple[int, int],
    backend: str | None,
) -> Choice:  # fmt: skip
    """What the rule makes of a matrix [out, in]."""
    support = supported(backend, kind).get(rule.scheme) if backend else None
    dtype = support.scale_dtype if support and rule.group_size is not None else "float32"
    beside = support.group_bytes if support else 0
    if rule.scheme == "none":
        return Choice(name, kind, shape, rule.scheme, None, index)
    return Choice(
        name, kind, shape, rule.scheme, rule.group_size, index, rule.zero_point, rule.outliers,
        dtype, group_bytes=beside,
    )  # fmt: skip


def weight_bytes(choice: Choice) -> int:
    """Bytes of a matrix in the file: integers, a scale a group, and what is kept in float32:
    offsets of groups and columns of outliers. Tables have a byte for each group's zero point."""
    rows, columns = choice.shape
    if choice.flow in (Flow.none, Flow.cast):
        bits = SCHEMES[choice.scheme].weight_bits
        return 0 if choice.shared_with else rows * columns * bits // 8
    groups = columns // choice.group_size if choice.group_size else 1
    scale = 2 if choice.scale_dtype in ("bfloat16", "float16") else 4
    scale += choice.group_bytes + (1 if choice.kind is ModuleKind.embedding else 0)
    kept = (groups if choice.zero_point else 0) + choice.outliers
    integers = rows * columns * SCHEMES[choice.scheme].weight_bits // 8
    integers = 0 if choice.shared_with else integers
    return integers + rows * (groups * scale + 4 * kept)


def _divisors(size: int) -> str:
    return ", ".join(str(d) for d in range(32, size + 1, 32) if size % d == 0)
