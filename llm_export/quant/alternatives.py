"""Which quant option to try instead of one that loses too much.

First choice: an option that measured better at the same size (``data/quant_evidence.json``, which
``benchmarks/quality_table.py`` writes). Otherwise the next finer option that the backend supports.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any

from omegaconf import OmegaConf

from llm_export.config.quant_schema import ModuleKind, QuantConfig, QuantRule
from llm_export.quant.schemes import SCHEMES, Activations, Support, refusal, supported

SAME_SIZE = 1.05
"""Largest ratio of two file sizes that count as the same."""
_KINDS = (ModuleKind.linear, ModuleKind.head, ModuleKind.embedding)
_SCALE_BITS = 16
"""Nominal bits of a group's scale, and of a zero point that the kernel takes."""
_ORDER = (Activations.static, Activations.dynamic, Activations.none)
"""From coarsest to finest, at equal bits of the weights."""


@dataclass(frozen=True)
class Evidence:
    """A measured option.

    Attributes:
        backend: that ran the program, or of its lowered graph.
        quant: name of the option.
        bytes: of the program.
        mean_kl: to the float32 model, in nats.
        top1: share of positions with the same most likely token; None: not kept.
    """

    backend: str
    quant: str
    bytes: int
    mean_kl: float
    top1: float | None


@dataclass(frozen=True)
class Measured:
    """What ``data/quant_evidence.json`` holds: options on one model and several backends.

    Attributes:
        option: the model's option.
    """

    model: str
    option: str
    rows: tuple[Evidence, ...]

    def of(self, backend: str) -> tuple[Evidence, ...]:
        return self._by_backend.get(backend, ())

    def row(self, quant: str, backends: Sequence[str]) -> Evidence | None:
        return next((row for row in self.of(backends[0]) if row.quant == quant), None)

    @cached_property
    def _by_backend(self) -> dict[str, tuple[Evidence, ...]]:
        found: dict[str, tuple[Evidence, ...]] = {}
        for row in self.rows:
            found[row.backend] = (*found.get(row.backend, ()), row)
        return found


@cache
def measured() -> Measured:
    """The evidence that the package ships."""
    text = resources.files("llm_export.data").joinpath("quant_evidence.json").read_text("utf-8")
    body = json.loads(text)
    rows = tuple(Evidence(**row) for row in body["rows"])
    return Measured(body["model"], body["option"], rows)


def better_option(
    quant: QuantConfig, backends: Sequence[str], excluded: Collection[str] = ()
) -> str | None:
    """A sentence that names an option with less loss; None if there is no finer one.

    Args:
        backends: names of the chain.
        excluded: options of which the model would get a part only.
    """
    if quant.auto is not None:
        return "a larger budget: quant.bits_per_weight or quant.file_megabytes"
    known, own = measured(), measured().row(quant.name, backends)
    able = [n for n in shipped_rules() if n not in excluded and _supported(n, backends)]
    if own is not None:
        same = [r for r in known.of(own.backend) if r.bytes <= SAME_SIZE * own.bytes]
        rows = [row for row in same if row.quant in able]
        best = min(rows, key=lambda row: row.mean_kl, default=own)
        if best.mean_kl < own.mean_kl:
            return f"quant={best.quant} at the same size: {_told(best, own, known)}"
    backend = backends[0]
    finer = [n for n in able if _is_finer(shipped_rules()[n], quant.rules, backend)]
    if not finer:
        return None
    name = min(finer, key=lambda name: _fineness(shipped_rules()[name], backend))
    other = known.row(name, backends)
    told = f": {_told(other, own, known)}" if own is not None and other is not None else ""
    return f"quant={name}, the next finer option{told}"


def _told(other: Evidence, own: Evidence, known: Measured) -> str:
    return (
        f"mean KL {other.mean_kl:.2g} instead of {own.mean_kl:.2g} at {other.bytes / 1e6:.0f} "
        f"instead of {own.bytes / 1e6:.0f} MB, measured with {known.model} on {own.backend}"
    )


@cache
def shipped_rules() -> dict[str, list[QuantRule]]:
    """Option of ``conf/quant`` -> its rules; options without rules of their own are left out,
    except none."""
    return {
        option["name"]: [_rule(rule) for rule in option["rules"]]
        for option in _shipped()
        if "auto" not in option
    }


@cache
def rotated_options() -> frozenset[str]:
    """Those that rotate what a model allows."""
    return frozenset(option["name"] for option in _shipped() if option.get("rotate"))


@cache
def split_options() -> dict[str, int]:
    """Those with a head in two parts -> rows of the first."""
    return {o["name"]: o["head_split"] for o in _shipped() if o.get("head_split")}


@cache
def _shipped() -> tuple[dict[str, Any], ...]:
    found: list[Any] = []
    for file in sorted(
        resources.files("llm_export.conf").joinpath("quant").iterdir(), key=lambda f: f.name
    ):
        if file.name.endswith(".yaml"):
            body = OmegaConf.create({"quant": OmegaConf.create(file.read_text(encoding="utf-8"))})
            found.append(OmegaConf.to_container(body.quant, resolve=True))
    return tuple(found)


def _rule(body: dict[str, object]) -> QuantRule:
    kind = body.get("kind")
    return QuantRule(**{**body, "kind": ModuleKind(kind) if kind else None})  # type: ignore[arg-type]


def _of_kind(rules: Sequence[QuantRule], kind: ModuleKind) -> QuantRule:
    """The last rule for the kind, after those for a part of it; float32 if there is none."""
    return next((r for r in reversed(rules) if r.kind in (None, kind)), QuantRule(scheme="none"))


def _supported(name: str, backends: Sequence[str]) -> bool:
    rules = shipped_rules()[name]
    return all(refusal(backends[0], kind, _of_kind(rules, kind)) is None for kind in _KINDS)


def _is_finer(other: Sequence[QuantRule], own: Sequence[QuantRule], backend: str) -> bool:
    """Whether ``other`` has more bits, and inputs quantized no more coarsely. A backend that needs
    static integers has no use for float32."""
    inputs, own_inputs = _inputs(other), _inputs(own)
    floats = all(_of_kind(other, kind).scheme == "none" for kind in _KINDS)
    if inputs < own_inputs or (floats and own_inputs == 0):
        return False
    return _fineness(other, backend) > _fineness(own, backend)


def _inputs(rules: Sequence[QuantRule]) -> int:
    return _ORDER.index(SCHEMES[_of_kind(rules, ModuleKind.linear).scheme].activations)


def _fineness(rules: Sequence[QuantRule], backend: str) -> tuple[float, ...]:
    """Nominal bits per weight of each kind, and how the linear layers' inputs are quantized."""
    bits = (_bits(_of_kind(rules, kind), supported(backend, kind)) for kind in _KINDS)
    return (*bits, float(_inputs(rules)))


def _bits(rule: QuantRule, able: Mapping[str, Support]) -> float:
    """Of a weight, with its share of the group's scale and zero point: the kernel takes it in the
    dtype of scales, or it is further columns of the weight."""
    bits = float(SCHEMES[rule.scheme].weight_bits)
    if rule.group_size is None:
        return bits
    in_kernel = rule.scheme in able and able[rule.scheme].zero_points
    point = _SCALE_BITS if in_kernel else bits
    has_point = in_kernel if rule.zero_point is None else rule.zero_point
    return bits + (_SCALE_BITS + (point if has_point else 0)) / rule.group_size
