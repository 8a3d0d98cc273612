"""The model definition interface. Importing it does not load torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from llm_export.config.schema import Recipe

if TYPE_CHECKING:
    from llm_export.checkpoints.base import Checkpoint
    from llm_export.models.contract import LanguageModel
    from llm_export.models.load_weights import Coverage

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LoadedModel:
    """An eager float32 model with all its weights, and a record of how the checkpoint was used."""

    model: LanguageModel
    checkpoint: Checkpoint
    coverage: Coverage


class Loader(Protocol):
    def __call__(
        self,
        recipe: Recipe,
        *,
        attention: str,
        context_length: int,
        all_logits: bool,
        progress: Progress,
    ) -> LoadedModel: ...


@dataclass(frozen=True)
class ContextLimit:
    """The longest context that a model can have, and what limits it, as text for the user."""

    tokens: int
    why: str


class ImageFacts(NamedTuple):
    """What checks must know of a model that sees.

    Attributes:
        tokens: of an image, or of a tile of one.
        token_id: of the token that stands in a prompt for one of them.
    """

    tokens: int
    token_id: int


@dataclass(frozen=True)
class FurtherMethod:
    """A method of a language model's program besides those that step through a text.

    Attributes:
        modules: regular expression of the names of all modules that it runs.
        any_length: whether it takes inputs of any length where shapes are dynamic.
        beside_text: whether no text runs through its modules, so that nothing of them can be
            calibrated.
    """

    modules: str
    any_length: bool = False
    beside_text: bool = False


@dataclass(frozen=True)
class Definition:
    """One source of a model's code.

    Attributes:
        check: raises LlmExportError if this definition cannot build the model option;
            reads no weights.
        load: builds the model and streams its checkpoint in.
        attention_kinds: (recipe, maximum tokens per step) -> supported kinds, best
            first. Every definition has "cacheless", the reference of verification.
        tier: description of the code for messages; ``{family}`` is filled in.
        caches: the cache kinds that its models can have, if they meet the requirements.
        transforms: source transforms that support the model's modules (smooth, cast, ...).
        validate_checkpoint: (recipe, whether its checkpoint is local) -> a text of the result.
            Builds the model without values and compares names and shapes of the checkpoint with
            it; reads no weights. Raises LlmExportError where they do not fit.
        context_limit: recipe -> the longest context of its model; None if nothing limits it. The
            recipe's own context length is not read.
        usual_step: recipe -> the most tokens of a step that pay, where its model has such a limit.
        rope_factors: (recipe, context length) -> which of LongRoPE's sets of factors a program of
            that context has; None for models without LongRoPE.
        remarks: (recipe, context length) -> what the user should know of a program of that
            context, one line each.
        outline: recipe -> its model as it is quantized, with module names and shapes and without
            values; None if they are not known before loading. A definition without it has
            shapes that follow from its config.
        recurrent: recipe -> whether its model keeps a state that every token of a step changes: a
            step cannot be padded.
        has_head: recipe -> whether its model has an output head, which quantization rules name.
        head_rows: recipe -> rows of the output head, if it can be stored in two parts; else None.
        tied: recipe -> whether its model is known to have its embedding as output matrix, also
            after rotations.
        outlier_layers: recipe -> pattern of linear layers that shipped options with activations
            quantized per token give outlier channels; None: none besides what options say.
        smoothing_refusal: recipe -> why its model cannot be smoothed although ``transforms`` has
            smooth, or None.
        rotation_refusals: recipe -> key of ``quant.rotate`` that its model excludes -> why.
        images: recipe -> what is known of its model's images; None: it takes none.
        main_method: name of the method that steps through a text.
        further_methods: name -> what is known of it before a model is built; see
            ``LanguageModel.further_methods``.
    """

    name: str
    check: Callable[[Recipe], None]
    load: Loader
    attention_kinds: Callable[[Recipe, int], tuple[str, ...]]
    tier: str = ""
    transforms: frozenset[str] = frozenset()
    caches: frozenset[str] = frozenset({"static"})
    validate_checkpoint: Callable[[Recipe, bool], str] | None = None
    context_limit: Callable[[Recipe], ContextLimit | None] = lambda recipe: None
    usual_step: Callable[[Recipe], int | None] = lambda recipe: None
    rope_factors: Callable[[Recipe, int], str | None] = lambda recipe, context_length: None
    remarks: Callable[[Recipe, int], tuple[str, ...]] = lambda recipe, context_length: ()
    outline: Callable[[Recipe], LanguageModel | None] | None = None
    recurrent: Callable[[Recipe], bool] = lambda recipe: False
    has_head: Callable[[Recipe], bool] = lambda recipe: True
    head_rows: Callable[[Recipe], int | None] = lambda recipe: None
    tied: Callable[[Recipe], bool] = lambda recipe: False
    outlier_layers: Callable[[Recipe], str | None] = lambda recipe: None
    smoothing_refusal: Callable[[Recipe], str | None] = lambda recipe: None
    rotation_refusals: Callable[[Recipe], Mapping[str, str]] = lambda recipe: {}
    images: Callable[[Recipe], ImageFacts | None] = lambda recipe: None
    main_method: str = "forward"
    further_methods: Mapping[str, FurtherMethod] = field(default_factory=dict)
