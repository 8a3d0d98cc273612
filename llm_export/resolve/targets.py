"""Adapt what a recipe leaves open to the consumers that it names in ``deploy.targets``."""

from __future__ import annotations

from dataclasses import replace

from llm_export.backends import chain_of
from llm_export.backends.capabilities import of_chain
from llm_export.config.schema import AttentionKind, KVCacheKind, Recipe
from llm_export.consumers import Contract, contract_of
from llm_export.consumers.linked import has_fused_attention, is_fused
from llm_export.errors import LlmExportError


def fill_for_targets(recipe: Recipe) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with plain attention where it leaves attention open and a target has no fused
    attention, and a line for that."""
    runtime = recipe.runtime
    if runtime.attention is not AttentionKind.auto or runtime.kv_cache is not KVCacheKind.static:
        return recipe, ()
    lacking = [c.full_name for c in contracts_of(recipe) if not has_fused_attention(c)]
    if not lacking:
        return recipe, ()
    offers = of_chain([backend.capabilities for backend in chain_of(recipe)])
    kinds = (*offers.attention, *offers.attention_kinds(dynamic=False))
    plain = AttentionKind.plain
    if not any(map(is_fused, kinds)) or plain.value not in kinds:
        return recipe, ()
    note = f"runtime.attention: plain instead of auto; {lacking[0]} has no fused attention"
    return replace(recipe, runtime=replace(runtime, attention=plain)), (note,)


def contracts_of(recipe: Recipe) -> list[Contract]:
    """The contracts of ``deploy.targets``, without those that do not exist, which the checks
    refuse."""
    found = {}
    for name in recipe.deploy.targets:
        try:
            contract = contract_of(name)
        except LlmExportError:
            continue
        found[contract.full_name] = contract
    return list(found.values())
