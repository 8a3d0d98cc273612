"""Quantization schemes, and which backend runs which scheme for which kind of module.

Data only, and no torch: it is read by the checks before any work. A pair that is not in
the matrix is refused, because some lower without complaint and compute garbage.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_export.config.quant_schema import ModuleKind, QuantRule


@dataclass(frozen=True)
class Scheme:
    """Attributes:
    weight_bits: bits of a weight, without scales.
    dynamic_activations: int8 activations, quantized per token at run time.
    """

    name: str
    weight_bits: int
    dynamic_activations: bool
    description: str


SCHEMES = {
    s.name: s
    for s in (
        Scheme("none", 32, False, "float32"),
        Scheme("8da4w", 4, True, "int8 activations per token, 4-bit weights"),
        Scheme("8da8w", 8, True, "int8 activations per token, 8-bit weights"),
        Scheme("8w", 8, False, "8-bit weights"),
        Scheme("4w", 4, False, "4-bit weights"),
    )
}


@dataclass(frozen=True)
class Support:
    """How a pair may be grouped.

    Attributes:
        groups: multiples of this size; 0 is no groups at all.
        scale_dtype: what the kernel keeps the scales of groups in.
        offsets: whether a zero point a group can be had: by the kernel, or, of a matrix product,
            by a product of its own beside it (``CorrectedLinear``).
    """

    per_channel: bool
    groups: int
    scale_dtype: str = "float32"
    offsets: bool = False


_EMBEDDING = {
    "8w": Support(per_channel=True, groups=0),
    "4w": Support(per_channel=False, groups=32),
}
_XNNPACK_LINEAR = {
    # XNNPACK's 4-bit blocks are multiples of 32.
    "8da4w": Support(per_channel=True, groups=32, scale_dtype="bfloat16", offsets=True),
    # "Only 4b group quantization is supported" for groups.
    "8da8w": Support(per_channel=True, groups=0),
}

MATRIX: dict[str, dict[ModuleKind, dict[str, Support]]] = {
    "portable": {ModuleKind.linear: {}, ModuleKind.head: {}, ModuleKind.embedding: _EMBEDDING},
    "xnnpack": {
        ModuleKind.linear: _XNNPACK_LINEAR,
        ModuleKind.head: _XNNPACK_LINEAR,
        ModuleKind.embedding: _EMBEDDING,
    },
}


def supported(backend: str, kind: ModuleKind) -> dict[str, Support]:
    """scheme -> how it may be grouped; 'none' is always there."""
    table = MATRIX.get(backend, {}).get(kind, {})
    return {"none": Support(per_channel=True, groups=0), **table}


def refusal(backend: str, kind: ModuleKind, rule: QuantRule) -> str | None:
    """Why the rule is refused for modules of this kind, or None if the backend runs it."""
    scheme, group_size = rule.scheme, rule.group_size
    table = supported(backend, kind)
    if scheme not in SCHEMES:
        return f"there is no scheme '{scheme}'; choices: {', '.join(SCHEMES)}"
    if scheme not in table:
        return (
            f"{backend} cannot run {scheme} for {_article(kind)} module; "
            f"it can run {', '.join(table)}"
        )
    support = table[scheme]
    if rule.outliers and not SCHEMES[scheme].dynamic_activations:
        return f"outliers are of int8 activations, which {scheme} does not have"
    if rule.zero_point and (group_size is None or not support.offsets):
        return f"{scheme} has no zero point here: it is for groups of {_with_offsets(table)}"
    if scheme == "none":
        return None
    if group_size is None:
        return None if support.per_channel else f"{scheme} needs a group_size on {backend}"
    if not support.groups:
        return f"{scheme} is per channel on {backend}: group_size must be null"
    if group_size % support.groups:
        return f"group_size {group_size} is not a multiple of {support.groups} ({backend})"
    return None


def _article(kind: ModuleKind) -> str:
    return f"an {kind.value}" if kind is ModuleKind.embedding else f"a {kind.value}"


def refused_everywhere(backend: str, rule: QuantRule) -> bool:
    """Whether the backend refuses the rule for every kind of module that it names."""
    kinds = [rule.kind] if rule.kind else list(ModuleKind)
    return all(refusal(backend, kind, rule) is not None for kind in kinds)


def _with_offsets(table: dict[str, Support]) -> str:
    return ", ".join(name for name, support in table.items() if support.offsets) or "no scheme"
