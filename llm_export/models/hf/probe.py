"""Find out how a transformers model uses its cache and attention, by running it.

Configs name head counts and window sizes in many ways, and models build masks by their own rules.
A step of two tokens on a model without weights shows the actual values.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, DynamicLayer, LinearAttentionLayer

from llm_export.compat.transformers_layers import causal_mask
from llm_export.compat.transformers_models import is_stateful, keeps_states
from llm_export.compat.transformers_recurrence import replaced
from llm_export.errors import CheckpointError
from llm_export.models.hf.cache import LayerCache, LayerShape
from llm_export.models.hf.config import quietly
from llm_export.models.hf.recurrence import replacements
from llm_export.models.hf.states import StateShapes

_NAME = "llm_export_probe"
TOKENS = 2
_STATES = 8  # more than any layer has of a kind

# Arguments of attention functions without effect for one sequence without padding. A sliding window
# is detected from the mask.
_HARMLESS = frozenset(
    {"dropout", "scaling", "sliding_window", "position_ids", "position_embeddings", "use_cache",
     "cache_position", "past_key_values", "logits_to_keep"}
)  # fmt: skip


@dataclass
class Seen:
    """Observations of one probing run.

    Attributes:
        recurrences: how many known functions ran since a recurrent state was last written.
        refusals: why the states cannot be kept as they are.
    """

    context: int
    updates: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    states: dict[int, StateShapes] = field(default_factory=dict)
    indexers: dict[int, tuple[int, ...]] = field(default_factory=dict)
    recurrences: int = 0
    refusals: list[str] = field(default_factory=list)
    calls: int = 0
    obstacles: list[str] = field(default_factory=list)

    def recurrence(self, dims: int) -> None:
        """Counts, and begins with an empty state."""
        self.recurrences += 1


class _ProbeLayer(LinearAttentionLayer, DynamicLayer):  # type: ignore[misc, override]
    """Pretends that all but the last tokens of the context are already cached."""

    def __init__(self, seen: Seen, index: int) -> None:
        DynamicLayer.__init__(self)
        LinearAttentionLayer.__init__(self, number_of_states=_STATES)
        self.record_past = True
        self.seen, self.index = seen, index

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        self.seen.updates[self.index] = (key_states, value_states)
        return key_states, value_states

    def update_conv_state(
        self, conv_states: Tensor, state_idx: int = 0, conv_kernel_size: Any = None, **kwargs: Any
    ) -> Tensor:
        if not conv_states.is_floating_point():
            self.seen.refusals.append("keeps tokens of the past, and an empty state is not zero")
        length = conv_kernel_size or conv_states.shape[-1]
        self._shapes.conv[state_idx] = (*conv_states.shape[:-1], length)
        return conv_states

    def update_recurrent_state(
        self, recurrent_states: Tensor, state_idx: int = 0, **kwargs: Any
    ) -> Tensor:
        if not self.seen.recurrences:
            self.seen.refusals.append("has a recurrence that this project has no form of")
        self.seen.recurrences = 0
        self._shapes.recurrent[state_idx] = tuple(recurrent_states.shape)
        return recurrent_states

    def update_indexer(self, indexer_key_states: Tensor) -> Tensor:
        self.seen.indexers[self.index] = tuple(indexer_key_states.shape)
        return indexer_key_states

    @property
    def _shapes(self) -> StateShapes:
        return self.seen.states.setdefault(self.index, StateShapes())

    def get_seq_length(self) -> int:
        return self.seen.context - TOKENS

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.seen.context, 0


def layer_caches(model: nn.Module) -> tuple[LayerCache, ...]:
    """What every layer keeps, from one step through the model.

    Raises:
        CheckpointError: the model caches anything but one key and one value per layer and states
            of known recurrences.
    """
    seen = Seen(TOKENS)
    name = type(model).__name__
    # Layers that can be either say so; in the config it may be a leftover.
    if any(getattr(module, "is_decoder", None) is False for module in model.modules()):
        raise CheckpointError(
            f"this {name} is an encoder, whose tokens see those after them",
            where="model.config.is_decoder",
            fix="is_decoder: true in config.json, if it was trained as a decoder",
        )
    try:
        with torch.no_grad(), quietly():
            run_through(model, seen)
    except Exception as error:  # library models may raise any exception
        if seen.refusals:
            raise _refused(name, seen.refusals[0]) from error
        raise CheckpointError(
            f"{name} does not run with a cache of keys, values and recurrent states: {error}",
            where="model.config.model_type",
        ) from error
    if not seen.updates and not seen.states:
        seen.refusals.append("keeps neither keys and values nor states in the library's cache")
    elif is_stateful(type(model)) and not seen.states:
        seen.refusals.append("keeps its recurrent state outside of the library's cache")
    kept = [keys.shape[2] for keys, _ in seen.updates.values()]
    for count in (*kept, *(shape[1] for shape in seen.indexers.values())):
        if count != TOKENS:
            seen.refusals.append(f"caches {count} positions for {TOKENS} tokens")
    if seen.indexers.keys() - seen.updates.keys():
        seen.refusals.append("keeps keys of an indexer where it keeps no values")
    if seen.refusals:
        raise _refused(name, seen.refusals[0])
    count = 1 + max((*seen.updates, *seen.states))
    return tuple(
        LayerCache(
            _shape(seen.updates.get(i), seen.indexers.get(i)), seen.states.get(i, StateShapes())
        )
        for i in range(max(count, _layer_count(model)))
    )


def _refused(name: str, why: str) -> CheckpointError:
    return CheckpointError(f"{name} {why}", where="model.config.model_type")


def _shape(
    held: tuple[Tensor, Tensor] | None, indexer: tuple[int, ...] | None
) -> LayerShape | None:
    if held is None:
        return None
    keys, values = held
    width = None if indexer is None else int(indexer[-1])
    return LayerShape(int(keys.shape[1]), int(keys.shape[3]), int(values.shape[3]), width)


def _layer_count(model: Any) -> int:
    """Of the decoder, where a config counts the layers of an encoder too."""
    names = ("num_hidden_layers", "decoder_layers", "num_decoder_layers")
    configs = (model.config, model.config.get_text_config(decoder=True))
    return max(int(getattr(config, name, None) or 0) for config in configs for name in names)


def run_step(model: nn.Module) -> None:
    """One step of the model through a cache, as ``layer_caches`` sees it."""
    with torch.no_grad(), quietly():
        run_through(model, Seen(TOKENS))


def fused_obstacle(model: Any, context: int) -> str | None:
    """Why ExecuTorch's fused operators cannot compute this model's attention; None if they can.

    Args:
        model: on the meta device; its attention implementation is changed.
        context: context length of the program; a window of that size has no effect.
    """
    seen = Seen(max(context, TOKENS))

    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any = None, **kw: Any
    ) -> tuple[Tensor, None]:
        seen.calls += 1
        held = seen.updates.get(getattr(module, "layer_idx", -1), (None, None))
        if key is not held[0] or value is not held[1]:
            seen.obstacles.append("keys and values are changed after they are cached")
        if query.shape[1] % key.shape[1] or key.shape[-1] != value.shape[-1]:
            seen.obstacles.append("heads of keys and values differ")
        if kw.get("is_causal") is False:
            seen.obstacles.append("attention is not causal")
        said = [n for n, v in kw.items() if v is not None and v is not False and n not in _HARMLESS]
        seen.obstacles += [f"attention takes '{n}'" for n in said if n != "is_causal"]
        batch, heads, length, _ = query.shape
        return query.new_zeros(batch, length, heads, value.shape[-1]), None

    def mask(*args: Any, **kw: Any) -> None:
        kw |= {"device": "cpu", "allow_is_causal_skip": False, "attention_mask": None}
        shown = causal_mask(*args, **kw)
        rows = torch.arange(seen.context - TOKENS, seen.context)[:, None]
        if shown is None or not torch.equal(shown[0, 0], torch.arange(seen.context) <= rows):
            seen.obstacles.append("the mask is not plainly causal")

    AttentionInterface.register(_NAME, attention)
    AttentionMaskInterface.register(_NAME, mask)
    try:
        with quietly():
            model.set_attn_implementation(_NAME)
            run_through(model, seen)
    except Exception as error:  # library models may raise any exception
        if seen.calls:
            return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    # No call at all can also mean that the step failed before attention.
    if not seen.calls or seen.calls != len(seen.updates):
        return "the model computes attention by itself"
    return seen.obstacles[0] if seen.obstacles else None


def cache_argument(model: Any) -> str:
    """Under which name a model takes its cache: Mamba's have their own."""
    name = "cache_params"
    return name if name in inspect.signature(model.forward).parameters else "past_key_values"


def run_through(model: Any, seen: Seen) -> None:
    layers: list[Any] = [_ProbeLayer(seen, i) for i in range(_layer_count(model))]
    tokens = torch.ones(1, TOKENS, dtype=torch.int64, device=model.device)
    # No slot is padding; models without a mask would search the tokens for padding. Recurrent
    # layers would multiply the tokens of the step by it.
    ones = torch.ones(1, seen.context, dtype=torch.int64, device=model.device)
    mask = None if keeps_states(model) else ones
    with replaced(model, replacements(seen.recurrence)):
        model(
            input_ids=tokens,
            attention_mask=mask,
            use_cache=True,
            **{cache_argument(model): Cache(layers=layers)},
        )
