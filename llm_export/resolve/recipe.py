"""The resolved recipe, which stages, checks, predictions and backends use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from llm_export.backends import chain_of, method_chains, obstacle_to_running
from llm_export.backends.base import Backend
from llm_export.backends.capabilities import Capabilities, of_chain
from llm_export.backends.methods import Methods
from llm_export.config.quant_schema import CacheDtype
from llm_export.config.schema import ExpertsKind, Recipe, filled
from llm_export.models.definitions.base import Definition
from llm_export.models.task import Task, definition_of, task_of
from llm_export.resolve.attention import attention_of
from llm_export.resolve.beside_text import with_rules_beside_text
from llm_export.resolve.cache_choice import CacheChoice, CacheTimes, choice_of
from llm_export.resolve.experts import experts_of
from llm_export.resolve.lengths import fill_lengths
from llm_export.resolve.methods import fitting_methods
from llm_export.resolve.options import fill_options
from llm_export.resolve.targets import fill_for_targets


@dataclass(frozen=True)
class ResolvedRecipe:
    """A recipe with all derived settings.

    Attributes:
        recipe: the recipe with a value for each key that it left open; what the lock pins.
        stated: the composed recipe, as written to ``recipe.yaml``; its groups can still be
            replaced.
        notes: one line for each default that differs from its usual value, and for what else the
            user should know of the program.
        backends: the backend chain, in partitioning order. Backend options, quantization schemes
            and the PT2E quantizer are those of the first one.
        capabilities: combined capabilities of the chain, see ``backends.capabilities.of_chain``.
        task: what the program is for.
        definition: source of the model code.
        methods: methods of the program.
        model_attention: attention kinds that the model supports.
        attention: attention kind of the program.
        experts: which experts of a mixture the program computes, if the model has any.
        method_backends: further method -> its backend chain, where ``backend.methods`` names one.
        cache_choice: what ``quant.kv_cache=auto`` chooses among, until a run has measured it.
        cache_times: what was measured; None if nothing was.
    """

    recipe: Recipe
    stated: Recipe
    notes: tuple[str, ...]
    backends: tuple[Backend, ...]
    capabilities: Capabilities
    task: Task
    definition: Definition
    methods: Methods
    model_attention: tuple[str, ...]
    attention: str
    experts: ExpertsKind
    method_backends: Mapping[str, tuple[Backend, ...]] = field(default_factory=dict)
    cache_choice: CacheChoice | None = None
    cache_times: CacheTimes | None = None

    @property
    def backend(self) -> Backend:
        """The first backend of the chain, which partitions first and quantizes."""
        return self.backends[0]

    @property
    def all_backends(self) -> tuple[Backend, ...]:
        """The backends of all methods."""
        chains = (self.backends, *self.method_backends.values())
        return tuple({backend.name: backend for chain in chains for backend in chain}.values())

    def of_further(self, method: str) -> ResolvedRecipe:
        """What a backend is given to lower a further method: a program of this method alone, by
        the method's own chain."""
        chain = self.method_backends.get(method, self.backends)
        name, *others = (backend.name for backend in chain)
        backend = self.recipe.backend
        # Options are those of the backend that the recipe names first.
        options = backend.options if name == backend.name else {}
        known = self.definition.further_methods.get(method)
        capabilities = of_chain([backend.capabilities for backend in chain])
        dynamic = bool(
            known and known.any_length and self.methods.dynamic and capabilities.dynamic_shapes
        )
        return replace(
            self,
            recipe=replace(
                self.recipe, backend=replace(backend, name=name, fallbacks=others, options=options)
            ),
            backends=chain,
            capabilities=capabilities,
            methods=Methods(dynamic, {method: self.methods.prefill_length}, method),
        )

    def backend_of(self, module: str) -> str:
        """The backend whose kernels run a module: its further method's, or the recipe's."""
        for method, chain in self.method_backends.items():
            if re.fullmatch(self.definition.further_methods[method].modules, module):
                return chain[0].name
        return self.recipe.backend.name

    @property
    def offered_attention(self) -> tuple[str, ...]:
        """Attention kinds that the backends support with the program's shapes, best first."""
        return self.capabilities.attention_kinds(dynamic=self.methods.dynamic)

    @property
    def cache_dtype(self) -> CacheDtype:
        """Data type of the KV cache."""
        return self.recipe.quant.kv_cache

    @property
    def tier(self) -> str:
        """The tier of the model code and why it was chosen, as text for the user."""
        model = self.recipe.model
        why = f": {model.reason}" if model.reason else ""
        return self.definition.tier.format(family=model.family) + why

    @contextmanager
    def reference_executor(self) -> Iterator[None]:
        """Context manager in which the delegates of an edge program compute like their backends;
        see ``Backend.reference_executor``."""
        with ExitStack() as stack:
            for backend in self.backends:
                stack.enter_context(backend.reference_executor())
            yield

    def obstacle_to_running(self) -> str:
        """Why the program cannot run on this machine; empty if it can."""
        return obstacle_to_running(self.all_backends)


def fill_in(recipe: Recipe, definition: Definition) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with a value for each key that it leaves open, and the notes on them."""
    limit = definition.context_limit(recipe)
    recipe, lengths = fill_lengths(recipe, limit)
    recipe, beside = with_rules_beside_text(recipe, definition)
    if not task_of(recipe.model).decodes:  # the other lengths are those of a decoder
        lengths = tuple(note for note in lengths if note.startswith("runtime."))
    recipe, options = fill_options(recipe, definition)
    recipe, targets = fill_for_targets(recipe)
    recipe = with_cache(recipe, CacheDtype.float) if _measures_cache(recipe) else recipe
    remarks = definition.remarks(recipe, filled(recipe.runtime.context_length))
    return recipe, (*lengths, *beside, *options, *targets, *remarks)


def with_cache(recipe: Recipe, dtype: CacheDtype) -> Recipe:
    return replace(recipe, quant=replace(recipe.quant, kv_cache=dtype))


def with_measured_cache(resolved: ResolvedRecipe, times: CacheTimes) -> ResolvedRecipe:
    """The recipe with the dtype that was measured to be the best, also as stated: what is made of
    the bundle's recipe later has the same."""
    choice = resolved.cache_choice
    others = (note for note in resolved.notes if choice is None or note != choice.note)
    recipe, stated = (with_cache(r, times.chosen) for r in (resolved.recipe, resolved.stated))
    return replace(derive(recipe, stated, (*others, times.note)), cache_times=times)


def _measures_cache(recipe: Recipe) -> bool:
    return recipe.quant.kv_cache is CacheDtype.auto


def resolve(recipe: Recipe) -> ResolvedRecipe:
    """Resolve a recipe whose model is known (after ``resolve_model``).

    Raises:
        RecipeError: there is no such backend or model definition.
        CheckpointError: the definition does not support the model option.
    """
    whole, notes = fill_in(recipe, definition_of(recipe.model))
    return derive(whole, recipe, notes)


def derive(recipe: Recipe, stated: Recipe, notes: tuple[str, ...]) -> ResolvedRecipe:
    """What follows from a recipe with a value for each key; see ``resolve``."""
    backends = chain_of(recipe)
    capabilities = of_chain([backend.capabilities for backend in backends])
    definition = definition_of(recipe.model)
    methods, shorter = fitting_methods(
        recipe,
        capabilities,
        lambda length: definition.attention_kinds(recipe, length),
        definition.usual_step(recipe),
        definition.recurrent(recipe),
        definition.main_method,
    )
    methods = replace(methods, further=tuple(definition.further_methods))
    able = definition.attention_kinds(recipe, methods.prefill_length)
    offered = capabilities.attention_kinds(dynamic=methods.dynamic)
    choice = None
    if _measures_cache(stated):
        decodes = task_of(recipe.model).decodes
        choice = (
            choice_of(recipe, backends, offered, able, definition.caches)
            if decodes
            else CacheChoice({CacheDtype.float: ""})  # see checks.programs
        )
    return ResolvedRecipe(
        recipe=recipe,
        stated=stated,
        notes=(*notes, *shorter, *([choice.note] if choice else [])),
        backends=backends,
        capabilities=capabilities,
        task=task_of(recipe.model),
        definition=definition,
        methods=methods,
        model_attention=able,
        attention=attention_of(recipe, offered, able),
        experts=experts_of(recipe, capabilities),
        method_backends={
            method: chain
            for method, chain in method_chains(recipe).items()
            if method in methods.further
        },
        cache_choice=choice,
    )
