"""The resolved quantization of a weight, and its size in the file. Does not import torch, because
size predictions use it too.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from llm_export.config.name_patterns import matches_name
from llm_export.config.qat_schema import QatConfig
from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.config.schema import filled
from llm_export.quant.mean_columns import column_count, exact_count
from llm_export.quant.outlier_selection import selection_bytes
from llm_export.quant.schemes import SCHEMES, Flow, supported

if TYPE_CHECKING:
    from llm_export.quant.grid import GridSpec


_EARLIER = ("kept", "qat")
"""How weights are rounded that were quantized, or trained to be, before."""


@dataclass(frozen=True)
class LayerQuantSpec:
    """The resolved quantization of one module's weight, and its result.

    Attributes:
        rule: index of the rule that matched, or None if none did (float32).
        bytes: its predicted bytes in the file: weights, scales, and float parts.
        shared_with: module with which it shares stored integers (or floats).
        qat: the fake quantizer that the weight was trained with.
        rounding: "kept" if the weight was already quantized, "qat" if it was trained to be
            quantized, else the method that rounded it.
        sqnr_db: SQNR of the rounded weight relative to the float one.
        group_bytes: additional bytes that the backend stores per group.
        in_kernel: whether the kernel takes the zero points; else they are further columns.
        with_head: of an embedding: see ``Support.with_head``.
        outlier_ratio: of the inputs, above which it has outlier channels; 1 once that is known.
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
    in_kernel: bool = False
    with_head: bool = False
    outlier_ratio: float = 1.0

    def as_dict(self) -> dict[str, object]:
        facts = {**asdict(self), "kind": self.kind.value, "bytes": self.bytes}
        return {**facts, "bits_per_weight": self.bits_per_weight}

    @property
    def flow(self) -> Flow:
        return SCHEMES[self.scheme].flow

    @property
    def on_grid(self) -> bool:
        """Whether its weight is rounded before export."""
        return self.flow is Flow.weights

    @property
    def spec(self) -> GridSpec:
        """The quantization parameters of its scheme."""
        import torch

        from llm_export.quant.grid import GridSpec

        bits, dtype = SCHEMES[self.scheme].weight_bits, getattr(torch, self.scale_dtype)
        return GridSpec(bits, self.group_size, self.zero_point, dtype, self.has_offset_columns)

    @property
    def has_offset_columns(self) -> bool:
        """Whether offsets of groups are further columns of the weight."""
        return self.zero_point and self.group_size is not None and not self.in_kernel

    def spec_of(self, how: str | None) -> GridSpec:
        """``spec`` of a weight that was rounded so: one that was quantized before keeps its
        offsets."""
        return replace(self.spec, offset_columns=False) if how in _EARLIER else self.spec

    @property
    def bytes(self) -> int:
        return weight_bytes(self)

    @property
    def bits_per_weight(self) -> float:
        count = self.shape[0] * self.shape[1]
        return round(8 * self.bytes / count, 3)


def matches(rule: QuantRule, name: str, kind: ModuleKind) -> bool:
    if rule.kind is not None and rule.kind != kind:
        return False
    return _in_layers(rule.layers, name) and matches_name(rule.pattern, name)


def _in_layers(layers: str | None, name: str) -> bool:
    if layers is None:
        return True
    layer = layer_of(name)
    return layer is not None and any(_in_range(part.strip(), layer) for part in layers.split(","))


def layer_of(name: str) -> int | None:
    """The decoder layer of a module."""
    found = re.search(r"(?:^|\.)layers\.(\d+)\.", name)
    return int(found.group(1)) if found else None


def _in_range(part: str, layer: int) -> bool:
    """One of 3, 3-5, 3- and -5."""
    first, dash, last = part.partition("-")
    if not dash:
        return layer == int(first)
    return int(first or 0) <= layer <= (int(last) if last else layer)


def layer_quant_spec(
    rule: QuantRule, index: int | None, name: str, kind: ModuleKind, shape: tuple[int, int],
    backend: str | None,
) -> LayerQuantSpec:  # fmt: skip
    """Apply a rule to a weight [out, in]."""
    support = supported(backend, kind).get(rule.scheme) if backend else None
    dtype = support.scale_dtype if support and rule.group_size is not None else "float32"
    beside = support.group_bytes if support else 0
    if kind is ModuleKind.embedding and support and not support.delegated:
        beside += 1  # ExecuTorch's kernels have a zero point in a byte
    if rule.scheme == "none":
        return LayerQuantSpec(name, kind, shape, rule.scheme, None, index)
    shifted = bool(rule.zero_point)
    return LayerQuantSpec(
        name, kind, shape, rule.scheme, rule.group_size, index, shifted,
        filled(rule.outliers), dtype, group_bytes=beside,
        in_kernel=shifted and support is not None and support.zero_points,
        with_head=support is not None and support.with_head, outlier_ratio=rule.outlier_ratio,
    )  # fmt: skip


def weight_bytes(choice: LayerQuantSpec) -> int:
    """Bytes of a weight in the file: integers, those of the columns of group offsets, a scale per
    group, and outlier columns in float32 with what selects their inputs. Those that few linears
    have count once it is known which.
    """
    rows, columns = choice.shape
    outliers = choice.outliers if choice.outlier_ratio == 1 else 0
    if choice.flow in (Flow.none, Flow.cast):
        bits = SCHEMES[choice.scheme].weight_bits
        return 0 if choice.shared_with else rows * columns * bits // 8
    if choice.shared_with and choice.with_head:
        return 0
    groups = columns // choice.group_size if choice.group_size else 1
    beside = rows * 4 * outliers + selection_bytes(outliers, columns)
    scale = 2 if choice.scale_dtype in ("bfloat16", "float16") else 4
    scale *= 2 if choice.in_kernel else 1
    scale += choice.group_bytes
    if choice.has_offset_columns and choice.group_size:
        earlier = choice.qat is not None or choice.rounding in _EARLIER
        count = exact_count if earlier else column_count
        further = count(groups, choice.group_size)
        columns, groups = columns + further, groups + further // choice.group_size
    integers = rows * columns * SCHEMES[choice.scheme].weight_bits // 8
    integers = 0 if choice.shared_with else integers
    return integers + rows * groups * scale + beside


def _as_trained(settings: QatConfig | None) -> QatConfig | None:
    """Without what only says which modules were trained so."""
    return settings and replace(settings, kinds=list(ModuleKind), pattern=".*")


def one_for_both(table: LayerQuantSpec, head: LayerQuantSpec) -> str | None:
    """Why the two specs cannot have the same integers, or None if they can."""
    bits, other = (SCHEMES[c.scheme].weight_bits for c in (table, head))
    if bits != other or table.group_size != head.group_size:
        groups = table.group_size, head.group_size
        return f"{bits} bit with group_size {groups[0]} is not {other} bit with {groups[1]}"
    if table.on_grid != head.on_grid:
        return "one of them is quantized with its activations"
    if _as_trained(table.qat) != _as_trained(head.qat):
        return "they were trained to be quantized in different ways"
    if head.zero_point and not (table.in_kernel and head.in_kernel):
        return "the output matrix has zero points"
    if table.zero_point and not head.zero_point:
        return "the table has zero points"
    return None
