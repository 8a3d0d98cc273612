"""The nearest rule that a backend supports, for defaults and fixes."""

from __future__ import annotations

import math
from dataclasses import replace

from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.quant.schemes import SCHEMES, Activations, Flow, Scheme, refusal, supported


def fixed_rule(backend: str, kind: ModuleKind, rule: QuantRule) -> QuantRule | None:
    """The nearest rule that the backend supports: of the same scheme with another group size if
    possible, otherwise of the nearest scheme. None if there is none."""
    table = supported(backend, kind)
    wanted = SCHEMES.get(rule.scheme)
    names = [rule.scheme] if rule.scheme in table else []
    if wanted is not None:
        names += [s.name for s in sorted((SCHEMES[n] for n in table), key=lambda s: far(s, wanted))]
    for name in names:
        for group in _group_sizes(table[name].groups, rule.group_size):
            for point in dict.fromkeys((rule.zero_point, False)):
                dynamic = SCHEMES[name].dynamic_activations
                made = replace(
                    rule, scheme=name, group_size=group, zero_point=point,
                    outliers=rule.outliers if dynamic else 0,
                )  # fmt: skip
                if refusal(backend, kind, made) is None:
                    return made
    return None


def regrouped_rule(backend: str, rule: QuantRule) -> QuantRule:
    """The rule with a group size that the backend supports, if that is all that it refuses. A scale
    per channel in place of groups loses accuracy, which is for the user to decide."""
    if rule.kind is None or refusal(backend, rule.kind, rule) is None:
        return rule
    made = fixed_rule(backend, rule.kind, rule)
    coarser = made is not None and made.group_size is None
    if made is None or coarser or replace(made, group_size=rule.group_size) != rule:
        return rule
    return made


def _group_sizes(step: int, wanted: int | None) -> list[int | None]:
    """Group sizes to try, the one with the least loss first: not larger than the wanted one, if
    there are any."""
    if not step:
        return [None]
    if wanted is None:
        return [None, step]
    return [max(step, wanted // step * step), None]


def far(scheme: Scheme, wanted: Scheme) -> tuple[float, int, int, bool, str]:
    """How far a scheme is from another: the ratio of weight bits first, then what happens to
    activations; ranges that need calibration last."""
    bits = abs(math.log2(scheme.weight_bits / wanted.weight_bits))
    unlike = int(scheme.activations is not wanted.activations)
    unlike += int((scheme.flow is Flow.cast) is not (wanted.flow is Flow.cast))
    static = scheme.activations is Activations.static
    return bits, unlike, abs(scheme.activation_bits - wanted.activation_bits), static, scheme.name
