"""The recipes that ``fit`` chooses from: quant options, KV caches and contexts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from llm_export.checks.rules import find_problems
from llm_export.config.compose import Composer
from llm_export.config.composed import Composed
from llm_export.config.quant_schema import CACHE_DTYPES, CacheDtype
from llm_export.config.schema import KVCacheKind, Recipe
from llm_export.errors import RecipeError
from llm_export.models.task import task_of
from llm_export.predict.model_shapes import has_known_layers
from llm_export.resolve.auto_model import resolve_model

SHORTEST, LONGEST = 512, 1 << 17
"""Contexts that are tried where the model has so many positions, in tokens."""
_DTYPE, _KIND, CONTEXT = "quant.kv_cache", "runtime.kv_cache", "runtime.context_length"


@dataclass(frozen=True)
class Candidate:
    """A quant option with a KV cache.

    Attributes:
        composed: with the option; its KV cache and context are those of the recipe.
        words: the overrides that choose all of it but the context.
    """

    composed: Composed
    dtype: CacheDtype
    kind: KVCacheKind
    words: tuple[str, ...]

    @property
    def quant(self) -> str:
        return self.composed.recipe.quant.name

    @property
    def cache(self) -> str:
        """In words."""
        plain = self.kind is KVCacheKind.static
        return self.dtype.value if plain else f"{self.dtype.value}, {self.kind.value}"

    def recipe(self, context: int | None) -> Recipe:
        of = self.composed.recipe
        return replace(
            of,
            quant=replace(of.quant, kv_cache=self.dtype),
            runtime=replace(of.runtime, kv_cache=self.kind, context_length=context),
        )

    def overrides(self, context: int) -> tuple[str, ...]:
        return (*self.words, f"{CONTEXT}={context}")


@dataclass
class Candidates:
    """
    Attributes:
        base: the recipe as it is.
        refused: quant option -> why the model or the backend does not take it.
    """

    base: Composed
    able: list[Candidate] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def find_candidates(composer: Composer, overrides: Sequence[str]) -> Candidates:
    """All that the recipe, its backend and its model allow. What an override states stays.

    Raises:
        RecipeError: the recipe does not compose, or the shapes of its model's layers are not known
            before it is loaded.
    """
    said = {word.lstrip("+~").partition("=")[0] for word in overrides}
    base = _resolved(composer.compose(overrides))
    _require_shapes(base.recipe)
    found = Candidates(base)
    for composed, words in _options(composer, overrides, base, found, fixed="quant" in said):
        recipe = composed.recipe
        why = _refusal(recipe)
        if why is not None:
            found.refused[recipe.quant.name] = why
            continue
        stated = recipe.quant.kv_cache
        own_said = said - {_DTYPE} if stated is CacheDtype.auto else said
        dtypes = [stated] if _DTYPE in own_said else list(CACHE_DTYPES)
        kinds = [recipe.runtime.kv_cache] if _KIND in said else _kinds(recipe)
        for kind, dtype in product(kinds, dtypes):
            own = (*words, *_changed(_DTYPE, dtype.value, stated.value, own_said),
                   *_changed(_KIND, kind.value, recipe.runtime.kv_cache.value, said))  # fmt: skip
            one = Candidate(composed, dtype, kind, own)
            if _refusal(one.recipe(_context(recipe))) is None:
                found.able.append(one)
    return found


def _options(
    composer: Composer, overrides: Sequence[str], base: Composed, found: Candidates, *, fixed: bool
) -> Iterator[tuple[Composed, tuple[str, ...]]]:
    """Each option, and the recipe's own values where they are no option's."""
    if fixed:
        yield base, ()
        return
    alike = False
    for name in composer.options("quant"):
        try:
            composed = composer.compose([*overrides, f"quant={name}"])
        except RecipeError as error:
            found.refused[name] = error.what
            continue
        recipe = composed.recipe
        alike |= recipe.quant == base.recipe.quant
        # The checkpoint of model=auto is looked at once.
        whole = replace(recipe, model=base.recipe.model, checkpoint=base.recipe.checkpoint)
        yield replace(composed, recipe=whole), (f"quant={name}",)
    if not alike:
        yield base, ()


def _require_shapes(recipe: Recipe) -> None:
    if recipe.model.definition in task_of(recipe.model).definitions and not has_known_layers(
        recipe
    ):
        raise RecipeError(
            f"the memory of models of definition '{recipe.model.definition}' is not known before "
            "they are loaded",
            where="model.definition",
            fix="export it, and measure with llm-export bench BUNDLE",
        )


def _resolved(composed: Composed) -> Composed:
    return replace(composed, recipe=resolve_model(composed.recipe))


def _refusal(recipe: Recipe) -> str | None:
    """The first problem; what this machine lacks does not matter."""
    problems = [p for p in find_problems(recipe) if not p.environment]
    return problems[0].what if problems else None


def _kinds(recipe: Recipe) -> list[KVCacheKind]:
    """An attention_sink cache forgets, so it is never a way to save memory on its own."""
    own = recipe.runtime.kv_cache
    if own is KVCacheKind.attention_sink:
        return [own]
    return [KVCacheKind.static, KVCacheKind.ring]


def _context(recipe: Recipe) -> int | None:
    return recipe.runtime.context_length


def _changed(key: str, value: str, former: str, said: set[str]) -> tuple[str, ...]:
    return () if key in said or value == former else (f"{key}={value}",)
