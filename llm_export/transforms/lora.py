"""Attach separate LoRA factors to linears."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from llm_export.errors import PostConditionError
from llm_export.models.components.attention import FusedQKV
from llm_export.models.components.feed_forward import FusedGateUp
from llm_export.models.components.lora import FACTORS, Factors, LoraLinear, stacked
from llm_export.transforms.base import Transform


def attach(factors: Mapping[str, Factors], transposed: bool) -> Transform:
    """A transform that replaces each linear that has factors by a LoraLinear.

    Args:
        factors: linear of the decoder, as named before projections were fused -> factors.
        transposed: see LoraLinear.
    """
    placed: dict[str, Factors] = {}

    def apply(model: nn.Module) -> int:
        placed.update(_on_fused(model, factors))
        for name, pair in placed.items():
            parent, _, leaf = name.rpartition(".")
            base = model.get_submodule(name)
            assert isinstance(base, nn.Linear)
            setattr(model.get_submodule(parent), leaf, LoraLinear(base, pair, transposed))
        return len(placed)

    def check(model: nn.Module) -> None:
        found = {n for n, m in model.named_modules() if isinstance(m, LoraLinear)}
        if found != set(placed):
            odd = min(found ^ set(placed))
            raise PostConditionError(f"'{odd}' should have the adapter's factors, or should not")
        for name in found:
            module = model.get_submodule(name)
            a, b = (getattr(module, leaf) for leaf in FACTORS)
            if transposed:
                a, b = a.T, b.T
            fits = (b.shape[0], a.shape[1]) == (module.out_features, module.in_features)
            if not fits or a.shape[0] != b.shape[1]:
                raise PostConditionError(
                    f"the factors of '{name}', {tuple(a.shape)} and {tuple(b.shape)}, do not fit"
                )

    def check_graph(graph_module: Any) -> None:
        inputs = [n for n in graph_module.graph.nodes if n.op == "placeholder"]
        count = sum(str(n.target).endswith(FACTORS) and len(n.users) > 0 for n in inputs)
        if count != len(FACTORS) * len(placed):
            raise PostConditionError(
                f"the graph uses {count} factors of the adapter; it has "
                f"{len(FACTORS) * len(placed)}"
            )

    return Transform("lora", apply, check, check_graph)


def _on_fused(model: nn.Module, factors: Mapping[str, Factors]) -> dict[str, Factors]:
    """The factors under the names of fused projections."""
    left = dict(factors)
    for name, module in model.named_modules():
        if isinstance(module, FusedQKV):
            rows = dict(zip("qkv", module.sizes, strict=True))
        elif isinstance(module, FusedGateUp):
            rows = {"gate": module.ffn, "up": module.ffn}
        else:
            continue
        parts = [(count, left.pop(f"{name}.{part}", None)) for part, count in rows.items()]
        if any(part is not None for _, part in parts):
            left[f"{name}.fused"] = stacked(parts)
    return left
