"""What a contract lets a program call, as far as a recipe tells it before the program is made."""

from __future__ import annotations

from fnmatch import fnmatchcase

from llm_export.config.schema import AttentionKind
from llm_export.consumers.contract import Contract

_FUSED = "llama::sdpa_with_kv_cache.out"
"""An operator that every library of ExecuTorch's fused attention has."""


def has_operator(contract: Contract, name: str) -> bool:
    """Whether a consumer's libraries have an operator, as far as its contract says."""
    patterns = contract.operators
    return patterns is None or any(fnmatchcase(name, pattern) for pattern in patterns)


def has_fused_attention(contract: Contract) -> bool:
    return has_operator(contract, _FUSED)


def is_fused(attention: str) -> bool:
    """Whether an attention kind computes by ExecuTorch's ``llama::`` operators. All of them are
    variants of custom_op, by name; models.components.attention_cores, which has the kinds, imports
    torch."""
    return attention.startswith(AttentionKind.custom_op.value)
