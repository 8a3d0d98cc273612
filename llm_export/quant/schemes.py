"""Quantization schemes, and which of them each backend supports per kind of module.

Data only, without torch, for the checks that run before any work. Each backend's own file declares
what it supports; any other combination is rejected, because some lower without an error and
compute garbage.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.registry import Registry


class Activations(str, Enum):
    """How a module's inputs are quantized."""

    none = "none"
    dynamic = "dynamic"
    """Per-token ranges, computed at run time."""
    static = "static"
    """Per-tensor ranges, from calibration text."""


class Flow(str, Enum):
    """How a scheme is applied to the program."""

    none = "none"
    weights = "weights"
    """The weight is replaced by a torchao tensor before export."""
    pt2e = "pt2e"
    """The backend's quantizer annotates the exported graph (torchao's PT2E)."""
    cast = "cast"
    """Weights are cast to another dtype."""


@dataclass(frozen=True)
class Scheme:
    """Attributes:
    weight_bits: bits per weight, without scales.
    activation_bits: 32 is float32.
    dtype: dtype of storage and computation for a cast.
    wants: the kind of backend that it needs, if no current backend supports it.
    """

    name: str
    weight_bits: int
    description: str
    activation_bits: int = 32
    activations: Activations = Activations.none
    flow: Flow = Flow.weights
    dtype: str = "float32"
    wants: str = ""

    @property
    def dynamic_activations(self) -> bool:
        return self.activations is Activations.dynamic

    @property
    def noisy(self) -> bool:
        """Whether equally correct programs differ by more than float32 rounding: rounding
        activations can turn the smallest difference into a whole step.
        """
        return self.activations is not Activations.none or self.flow is Flow.cast


_DYNAMIC, _STATIC = Activations.dynamic, Activations.static
_NPU = "NPUs (Qualcomm, Arm Ethos-U, MediaTek, Samsung)"

SCHEMES = {
    s.name: s
    for s in (
        Scheme("none", 32, "float32", flow=Flow.none),
        Scheme("8da4w", 4, "int8 activations per token, 4-bit weights", 8, _DYNAMIC),
        Scheme("8da8w", 8, "int8 activations per token, 8-bit weights", 8, _DYNAMIC),
        Scheme("8w", 8, "8-bit weights"),
        Scheme("4w", 4, "4-bit weights"),
        Scheme("2w", 2, "2-bit weights"),
        Scheme("8a8w", 8, "calibrated int8 activations per tensor, 8-bit weights per channel",
               8, _STATIC, Flow.pt2e),
        Scheme("16a8w", 8, "calibrated int16 activations, 8-bit weights",
               16, _STATIC, Flow.pt2e, wants=_NPU),
        Scheme("16a4w", 4, "calibrated int16 activations, 4-bit weights",
               16, _STATIC, Flow.pt2e, wants=_NPU),
        Scheme("fp16", 16, "float16", 16, flow=Flow.cast, dtype="float16"),
        Scheme("bf16", 16, "bfloat16", 16, flow=Flow.cast, dtype="bfloat16"),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Support:
    """Group sizes of a supported combination, and where it runs.

    Attributes:
        groups: group sizes are multiples of this; 0 means no groups.
        scale_dtype: dtype of the kernel's group scales.
        offsets: whether groups can have zero points as further columns of the weight
            (``OutlierLinear``).
        zero_points: whether the kernel itself takes zero points, in fractions of a step; they are
            stored in the dtype of the scales.
        group_bytes: additional bytes that the backend stores per group.
        delegated: whether it runs in the backend's delegate; else in ExecuTorch's own kernels,
            which are correct but slow.
        with_head: of an embedding: whether the delegate stores it and an output matrix of the same
            values once.
    """

    per_channel: bool
    groups: int
    scale_dtype: str = "float32"
    offsets: bool = False
    group_bytes: int = 0
    delegated: bool = True
    zero_points: bool = False
    with_head: bool = False

    @property
    def can_shift(self) -> bool:
        """Whether groups can have zero points, one way or the other."""
        return self.offsets or self.zero_points


@dataclass(frozen=True)
class SupportTable:
    """The schemes that a backend supports.

    Attributes:
        kinds: kind of module -> scheme -> support.
        why_not: scheme -> why the backend does not support it for other kinds, if known.
    """

    kinds: dict[ModuleKind, dict[str, Support]]
    why_not: dict[str, str]


TABLES: Registry[SupportTable] = Registry("backend's table of schemes", needs=("kinds",))
"""Filled by ``llm_export.backends``, which registers each table with its backend."""

_EVERYWHERE = {"none": Support(per_channel=True, groups=0)}


def supported(backend: str, kind: ModuleKind) -> dict[str, Support]:
    """Scheme -> supported groups; always includes 'none'."""
    return {**_EVERYWHERE, **TABLES.get(backend).kinds.get(kind, {})}


def refusal(backend: str, kind: ModuleKind, rule: QuantRule) -> str | None:
    """Why the rule is rejected for modules of this kind, or None if the backend supports it."""
    scheme, group_size = rule.scheme, rule.group_size
    table = supported(backend, kind)
    if scheme not in SCHEMES:
        return f"there is no scheme '{scheme}'; choices: {', '.join(SCHEMES)}"
    if scheme not in table:
        return (
            f"{backend} cannot run {scheme} for {_article(kind)} module{_reason(backend, scheme)}; "
            f"it can run {', '.join(table)}"
        )
    support = table[scheme]
    if rule.outliers and not SCHEMES[scheme].dynamic_activations:
        able = _listed(s for s in table if SCHEMES[s].dynamic_activations)
        return f"outliers are of dynamic int8 activations, which {scheme} does not have; has {able}"
    if rule.zero_point and (group_size is None or not support.can_shift):
        able = _listed(name for name, support in table.items() if support.can_shift)
        return f"{scheme} has no zero point here: it is for groups of {able}"
    if scheme == "none":
        return None
    if group_size is None:
        if support.per_channel:
            return None
        return f"{scheme} needs a group_size on {backend}: a multiple of {support.groups}"
    if not support.groups:
        return f"{scheme} {_ungrouped(scheme)} on {backend}: group_size must be null"
    if group_size % support.groups:
        return f"group_size {group_size} is not a multiple of {support.groups} ({backend})"
    return None


def _reason(backend: str, scheme: str) -> str:
    wants = SCHEMES[scheme].wants
    if wants:
        return f" (it is for {wants}, whose backends bring a quantizer of their own)"
    why = TABLES.get(backend).why_not.get(scheme, "") if backend in TABLES else ""
    return f" ({why})" if why else ""


def _ungrouped(scheme: str) -> str:
    return "has no scales" if SCHEMES[scheme].flow is Flow.cast else "is per channel"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "no scheme"


def _article(kind: ModuleKind) -> str:
    return f"an {kind.value}" if kind is ModuleKind.embedding else f"a {kind.value}"


def refused_everywhere(backend: str, rule: QuantRule) -> bool:
    """Whether the backend rejects the rule for every kind of module that it names."""
    kinds = [rule.kind] if rule.kind else list(ModuleKind)
    return all(refusal(backend, kind, rule) is not None for kind in kinds)
