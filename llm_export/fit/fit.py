"""Compare quant options, KV caches and contexts, and choose the best within a bound of memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from llm_export.checks.problem import raise_problems
from llm_export.checks.rules import find_problems
from llm_export.config.compose import Composer
from llm_export.config.composed import Composed
from llm_export.config.quant_schema import CACHE_DTYPES
from llm_export.config.schema import KVCacheKind, filled
from llm_export.errors import RecipeError
from llm_export.fit.candidates import (
    CONTEXT,
    LONGEST,
    SHORTEST,
    Candidate,
    Candidates,
    find_candidates,
)
from llm_export.fit.choose import Fitting, choose
from llm_export.fit.evidence import expected_loss
from llm_export.predict.device_memory import device_memory
from llm_export.resolve.auto_model import resolve_model
from llm_export.resolve.recipe import resolve

_DTYPES, _KINDS = list(CACHE_DTYPES), list(KVCacheKind)


@dataclass(frozen=True)
class Fit:
    """What fits a device.

    Attributes:
        composed: the chosen recipe.
        chosen: its row.
        rows: all that was compared, best quality first, then by context.
        refused: quant option -> why the model or the backend does not take it.
        bound: bytes that a program may take.
        context: tokens that were asked for, or those of the recipe.
    """

    composed: Composed
    chosen: Fitting
    rows: tuple[Fitting, ...]
    refused: dict[str, str]
    device_memory: int
    share: float
    bound: int
    context: int

    @property
    def overrides(self) -> tuple[str, ...]:
        """That make the chosen recipe of the given one."""
        return self.chosen.overrides

    def fits(self, row: Fitting) -> bool:
        return row.memory.whole <= self.bound

    def as_dict(self) -> dict[str, object]:
        recipe = self.composed.recipe
        return {
            "recipe": recipe.name, "model": recipe.model.name, "backend": recipe.backend.name,
            "device_memory": self.device_memory, "share": self.share, "bound": self.bound,
            "context": self.context, "chosen": self.chosen.as_dict(),
            "rows": [{**row.as_dict(), "fits": self.fits(row)} for row in self.rows],
            "refused": self.refused,
        }  # fmt: skip


def fit(
    composer: Composer,
    overrides: Sequence[str],
    memory: int,
    context: int | None,
    share: float,
) -> Fit:
    """The option of the least expected loss that fits with the wanted context; of this option, the
    KV cache that keeps most; then, if no context was wanted, the longest one that fits.

    Args:
        memory: bytes of the device.
        context: tokens; None is the recipe's, or more if there is room.
        share: of ``memory``, what a program may take.

    Raises:
        RecipeError: the recipe is wrong, of the generic tier, or nothing fits.
    """
    said = any(word.lstrip("+~").startswith(f"{CONTEXT}=") for word in overrides)
    if said and context is not None:
        raise RecipeError(
            "two contexts are named", where=f"--context {context}, {CONTEXT}", fix="name one"
        )
    found = find_candidates(composer, overrides)
    wanted, rows = compare(found, context)
    bound = int(memory * share)
    chosen = choose(rows, bound, wanted, extend=not said and context is None)
    composed = composer.compose([*overrides, *chosen.overrides])
    recipe = resolve_model(composed.recipe)
    raise_problems([p for p in find_problems(recipe) if not p.environment])
    return Fit(
        replace(composed, recipe=recipe), chosen, rows, found.refused, memory, share, bound, wanted
    )


def compare(found: Candidates, context: int | None) -> tuple[int, tuple[Fitting, ...]]:
    """(wanted context, rows): every candidate with every context.

    Raises:
        RecipeError: the context is too long, no option can be used, or the shapes of the model's
            layers are not known.
    """
    base = resolve(found.base.recipe)
    wanted = filled(base.recipe.runtime.context_length) if context is None else context
    limit = base.definition.context_limit(found.base.recipe)
    if limit is not None and wanted > limit.tokens:
        raise RecipeError(
            f"a context of {wanted} tokens is more than {limit.tokens}, {limit.why}",
            where="--context", fix=f"--context {limit.tokens}",
        )  # fmt: skip
    if not found.able:
        raise_problems(find_problems(found.base.recipe))
        raise RecipeError(
            f"{base.backend.name} takes no quant option with this recipe",
            where="quant", fix="fewer overrides, or another backend",
        )  # fmt: skip
    lengths = _contexts(wanted, LONGEST if limit is None else limit.tokens)
    tried = [(one, _rows(one, lengths)) for one in found.able]
    tried.sort(key=lambda pair: _order(*pair))
    return wanted, tuple(row for _, rows in tried for row in rows)


def _contexts(wanted: int, limit: int) -> list[int]:
    """Powers of two, and the one that is wanted."""
    powers = {1 << n for n in range(SHORTEST.bit_length() - 1, LONGEST.bit_length())}
    return sorted({wanted, *(length for length in powers if length <= limit)})


def _rows(one: Candidate, contexts: Iterable[int]) -> list[Fitting]:
    expected = expected_loss(one.composed.recipe)
    rows = []
    for context in contexts:
        resolved = resolve(one.recipe(context))
        memory = device_memory(resolved)
        assert memory is not None, "find_candidates refuses others"
        rows.append(Fitting(one.quant, one.cache, context, memory, expected,
                            one.overrides(context)))  # fmt: skip
    return rows


def _order(one: Candidate, rows: list[Fitting]) -> tuple[float, int, str, int, int]:
    """The least loss first; between options of equal loss, the larger weights. Then the KV cache
    that keeps most."""
    shortest = rows[0]
    return (
        shortest.expected.mean_kl, -shortest.memory.weights, one.quant, _DTYPES.index(one.dtype),
        _KINDS.index(one.kind),
    )  # fmt: skip
