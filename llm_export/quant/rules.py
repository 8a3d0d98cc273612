"""Match quantization rules to modules: the first matching rule applies."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.config.schema import filled
from llm_export.errors import RecipeError
from llm_export.models.contract import LanguageModel
from llm_export.models.programs.task_model import TaskModel
from llm_export.quant.layer_ranges import beyond_words, last_layer, layers_fix
from llm_export.quant.layer_spec import LayerQuantSpec, layer_of, layer_quant_spec, matches


def kind_of(model: nn.Module, name: str, module: nn.Module) -> ModuleKind | None:
    """The module kind in rules, or None for modules without a quantizable weight.

    Only token embeddings count; position embeddings are not quantized.
    """
    known = model if isinstance(model, LanguageModel | TaskModel) else None
    if isinstance(module, nn.Embedding):
        tables = () if known is None else known.token_tables()
        tokens = known is None or any(module is part for t in tables for part in t.modules())
        return ModuleKind.embedding if tokens else None
    if isinstance(module, nn.Linear):
        head = "head" if known is None else known.head_name
        return ModuleKind.head if f"{name}.".startswith(f"{head}.") else ModuleKind.linear
    return None


def resolve_rules(
    model: nn.Module,
    rules: Iterable[QuantRule],
    backend: str | Callable[[str], str] | None = None,
) -> list[LayerQuantSpec]:
    """One LayerQuantSpec for every linear and embedding.

    Args:
        backend: determines the dtype of scales; None is float32. Or name of a module -> the
            backend that runs it.

    Raises:
        RecipeError: a group size does not divide a weight, a rule matches nothing, or names
            layers that the model does not have.
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
        shape = (int(module.weight.shape[0]), int(module.weight.shape[1]))
        rule = QuantRule(scheme="none") if index is None else rules[index]
        if index is not None:
            hits[index] += 1
            _require_fit(rule, index, name, shape)
        runs = backend(name) if callable(backend) else backend
        choices.append(layer_quant_spec(rule, index, name, kind, shape, runs))
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
    if filled(rule.outliers) >= shape[1]:
        raise RecipeError(
            f"{rule.outliers} outliers of the {shape[1]} inputs of '{name}'",
            where=f"quant.rules[{index}].outliers", fix="fewer; 2 to 16 are usual",
        )  # fmt: skip


def _divisors(size: int) -> str:
    return ", ".join(str(d) for d in range(32, size + 1, 32) if size % d == 0)
