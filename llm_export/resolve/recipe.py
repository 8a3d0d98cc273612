"""What follows from a recipe, worked out once: stages, checks, predictions and backends take it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from llm_export.backends import chain_of, obstacle_to_running
from llm_export.backends.base import Backend
from llm_export.backends.capabilities import Capabilities, of_chain
from llm_export.backends.methods import Methods
from llm_export.config.quant_schema import CacheDtype
from llm_export.config.schema import Recipe
from llm_export.models.definitions import DEFINITIONS
from llm_export.models.definitions.base import Definition
from llm_export.resolve.attention import attention_of
from llm_export.resolve.methods import methods_of


@dataclass(frozen=True)
class ResolvedRecipe:
    """A recipe with everything that it does not spell out.

    Attributes:
        recipe: as it was composed, and as ``recipe.yaml`` holds it, so that its groups can still
            be swapped.
        backends: in the order in which they may take work. Options, the schemes of quantization
            and a PT2E quantizer are the first one's.
        capabilities: of the chain of backends; ``backends.capabilities.of_chain`` says how.
        definition: where the model's code comes from.
        methods: of the program.
        model_attention: attention kinds that the model can take.
        attention: the one that the program has.
    """

    recipe: Recipe
    backends: tuple[Backend, ...]
    capabilities: Capabilities
    definition: Definition
    methods: Methods
    model_attention: tuple[str, ...]
    attention: str

    @property
    def backend(self) -> Backend:
        """The first of the chain, which takes nodes first and quantizes."""
        return self.backends[0]

    @property
    def offered_attention(self) -> tuple[str, ...]:
        """Attention kinds that the backends have with the program's shapes, best first."""
        return self.capabilities.attention_kinds(dynamic=self.methods.dynamic)

    @property
    def cache_dtype(self) -> CacheDtype:
        """What the KV cache is kept in."""
        return self.recipe.quant.kv_cache

    @property
    def tier(self) -> str:
        """Where the model's code comes from and why, for people."""
        model = self.recipe.model
        why = f": {model.reason}" if model.reason else ""
        return self.definition.tier.format(family=model.family) + why

    @contextmanager
    def reference_executor(self) -> Iterator[None]:
        """In which the delegates of an edge program compute as their backends would; see
        ``Backend.reference_executor``."""
        with ExitStack() as stack:
            for backend in self.backends:
                stack.enter_context(backend.reference_executor())
            yield

    def obstacle_to_running(self) -> str:
        """Why the program does not run on this machine; empty if it does."""
        return obstacle_to_running(self.backends)


def resolve(recipe: Recipe) -> ResolvedRecipe:
    """Work out what follows from a recipe whose model is known (``resolve_model``).

    Raises:
        RecipeError: there is no such backend or model definition.
        CheckpointError: the definition does not understand the model option.
    """
    backends = chain_of(recipe)
    capabilities = of_chain([backend.capabilities for backend in backends])
    definition = DEFINITIONS.get(recipe.model.definition)
    methods = methods_of(recipe, capabilities)
    able = definition.attention_kinds(recipe, methods.prefill_length)
    offered = capabilities.attention_kinds(dynamic=methods.dynamic)
    return ResolvedRecipe(
        recipe=recipe,
        backends=backends,
        capabilities=capabilities,
        definition=definition,
        methods=methods,
        model_attention=able,
        attention=attention_of(recipe, offered, able),
    )
