"""Which dtypes ``quant.kv_cache=auto`` chooses among, and the choice by measured times."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from llm_export.backends import obstacle_to_running
from llm_export.backends.base import Backend
from llm_export.config.quant_schema import CACHE_DTYPES, CacheDtype
from llm_export.config.schema import AttentionKind, KVCacheKind, Recipe
from llm_export.consumers.linked import is_fused
from llm_export.quant.schemes import SCHEMES, Flow
from llm_export.resolve.attention import attention_of

KEY = "quant.kv_cache"


@dataclass(frozen=True)
class CacheChoice:
    """The cache's dtypes of a recipe that leaves them to a measurement.

    Attributes:
        kinds: dtype -> its attention kind; the first is what the recipe has until measured.
        obstacle: why a measurement here says nothing; empty if it does.
    """

    kinds: Mapping[CacheDtype, str]
    obstacle: str = ""

    @property
    def open(self) -> bool:
        """Whether there is something to measure."""
        return not self.obstacle and len(self.kinds) > 1

    @property
    def note(self) -> str:
        if len(self.kinds) == 1:
            return f"{KEY}: float, the only one that model, backend and recipe allow"
        if self.open:
            names = [dtype.value for dtype in self.kinds]
            some = f"{', '.join(names[:-1])} or {names[-1]}"
            return f"{KEY}: {some}; a run takes the one whose attention is fastest on this machine"
        others = " or ".join(dtype.value for dtype in list(self.kinds)[1:])
        return f"{KEY}: float; {self.obstacle}. {KEY}={others} states another"


def choice_of(
    recipe: Recipe,
    backends: Sequence[Backend],
    offered: Sequence[str],
    model: Sequence[str],
    caches: Collection[str],
) -> CacheChoice:
    """Args:
    offered, model: attention kinds that the backends and the model support.
    caches: what the model's definition keeps, see ``Definition.caches``.
    """
    kinds = {}
    for dtype in CACHE_DTYPES:
        tried = replace(recipe, quant=replace(recipe.quant, kv_cache=dtype))
        kind = attention_of(tried, offered, model)
        able = is_fused(kind) and kind in offered and kind in model
        if dtype is CacheDtype.float or (able and _fits(tried, caches)):
            kinds[dtype] = kind
    return CacheChoice(kinds, _elsewhere(recipe, backends))


def _fits(recipe: Recipe, caches: Collection[str]) -> bool:
    """What checks.kv_cache refuses besides the attention kind."""
    runtime, dtype = recipe.runtime, recipe.quant.kv_cache
    if runtime.kv_cache is not KVCacheKind.static:
        return False
    found = (SCHEMES.get(rule.scheme) for rule in recipe.quant.rules)
    if any(scheme is not None and scheme.flow is Flow.cast for scheme in found):
        return False  # a float cache is then in another dtype
    if dtype is CacheDtype.int8:
        return dtype.value in caches
    return runtime.attention in (AttentionKind.auto, AttentionKind.custom_op_by_head)


def _elsewhere(recipe: Recipe, backends: Sequence[Backend]) -> str:
    """Why the program is for another machine than this one, as far as the recipe tells."""
    if recipe.deploy.targets:
        return f"it is for {recipe.deploy.targets[0]}, whose speed cannot be measured here"
    if obstacle := obstacle_to_running(backends):
        return f"its speed cannot be measured here: {obstacle}"
    return ""


@dataclass(frozen=True)
class CacheTimes:
    """Measured times of attention.

    Attributes:
        rounds: dtype -> milliseconds a layer of each round, in which all dtypes took turns; a slow
            one only of the first.
        position: tokens in the cache.
    """

    rounds: Mapping[CacheDtype, Sequence[float]]
    position: int

    @property
    def medians(self) -> dict[CacheDtype, float]:
        return {dtype: statistics.median(times) for dtype, times in self.rounds.items()}

    @property
    def chosen(self) -> CacheDtype:
        """The fastest dtype; of those within the spread of the rounds, the smallest."""
        medians = self.medians
        fastest = min(medians, key=lambda dtype: medians[dtype])
        near = [dtype for dtype, times in self.rounds.items() if _near(times, self.rounds[fastest])]
        return max(near, key=CACHE_DTYPES.index)

    @property
    def note(self) -> str:
        """One line for the user."""
        chosen, medians = self.chosen, self.medians
        others = ", ".join(f"{d.value} {ms:.3g}" for d, ms in medians.items() if d is not chosen)
        return (
            f"{KEY}: {chosen.value}, {medians[chosen]:.3g} ms of attention a layer and token at "
            f"{self.position:,} tokens ({others})"
        )


def _near(times: Sequence[float], best: Sequence[float]) -> bool:
    """Whether a dtype was at least as fast as the fastest one in a quarter of the rounds."""
    pairs = list(zip(times, best, strict=False))
    return 4 * sum(t <= b for t, b in pairs) >= len(pairs)
