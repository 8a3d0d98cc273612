"""Find out how a transformers model uses its cache and attention, by running it.

Configs name head counts and window sizes in many ways, and models build masks by their own rules.
A step of two tokens on a model without weights shows the actual values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, DynamicLayer

from llm_export.compat.transformers_layers import causal_mask
from llm_export.errors import CheckpointError
from llm_export.models.hf.cache import LayerShape
from llm_export.models.hf.config import quietly

_NAME = "llm_export_probe"
_TOKENS = 2

# Arguments of attention functions without effect for one sequence without padding. A sliding window
# is detected from the mask.
_HARMLESS = frozenset(
    {"dropout", "scaling", "sliding_window", "position_ids", "position_embeddings", "use_cache",
     "cache_position", "past_key_values", "logits_to_keep"}
)  # fmt: skip


@dataclass
class _Seen:
    """Observations of one probing run."""

    context: int
    updates: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    calls: int = 0
    obstacles: list[str] = field(default_factory=list)


class _ProbeLayer(DynamicLayer):
    """Pretends that all but the last tokens of the context are already cached."""

    def __init__(self, seen: _Seen, index: int) -> None:
        super().__init__()
        self.seen, self.index = seen, index

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        self.seen.updates[self.index] = (key_states, value_states)
        return key_states, value_states

    def get_seq_length(self) -> int:
        return self.seen.context - _TOKENS

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.seen.context, 0


def layer_shapes(model: nn.Module) -> tuple[LayerShape, ...]:
    """Key and value shapes of every layer, from one step through the unmodified model.

    Raises:
        CheckpointError: the model caches anything but one key and one value per layer.
    """
    seen = _Seen(_TOKENS)
    try:
        with torch.no_grad():
            _run(model, seen)
    except Exception as error:  # library models may raise any exception
        raise CheckpointError(
            f"{type(model).__name__} does not run with a cache of keys and values: {error}",
            where="model.config.model_type",
        ) from error
    if not seen.updates or sorted(seen.updates) != list(range(len(seen.updates))):
        raise CheckpointError(
            f"{type(model).__name__} keeps keys and values in layers {sorted(seen.updates)} only",
            where="model.config.model_type",
        )
    shapes = []
    for index in range(len(seen.updates)):
        keys, values = seen.updates[index]
        if keys.shape[2] != _TOKENS:
            raise CheckpointError(
                f"{type(model).__name__} caches {keys.shape[2]} positions for {_TOKENS} tokens",
                where="model.config.model_type",
            )
        shapes.append(LayerShape(int(keys.shape[1]), int(keys.shape[3]), int(values.shape[3])))
    return tuple(shapes)


def fused_obstacle(model: Any, context: int) -> str | None:
    """Why ExecuTorch's fused operators cannot compute this model's attention; None if they can.

    Args:
        model: on the meta device; its attention implementation is changed.
        context: context length of the program; a window of that size has no effect.
    """
    seen = _Seen(max(context, _TOKENS))

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
        rows = torch.arange(seen.context - _TOKENS, seen.context)[:, None]
        if shown is None or not torch.equal(shown[0, 0], torch.arange(seen.context) <= rows):
            seen.obstacles.append("the mask is not plainly causal")

    AttentionInterface.register(_NAME, attention)
    AttentionMaskInterface.register(_NAME, mask)
    try:
        with quietly():
            model.set_attn_implementation(_NAME)
            _run(model, seen)
    except Exception as error:  # library models may raise any exception
        if seen.calls:
            return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    # No call at all can also mean that the step failed before attention.
    if not seen.calls or seen.calls != len(seen.updates):
        return "the model computes attention by itself"
    return seen.obstacles[0] if seen.obstacles else None


def _run(model: Any, seen: _Seen) -> None:
    layers: list[Any] = [_ProbeLayer(seen, i) for i in range(model.config.num_hidden_layers)]
    tokens = torch.ones(1, _TOKENS, dtype=torch.int64, device=model.device)
    # No slot is padding; models without a mask would search the tokens for padding.
    mask = torch.ones(1, seen.context, dtype=torch.int64, device=model.device)
    model(
        input_ids=tokens, attention_mask=mask, past_key_values=Cache(layers=layers), use_cache=True
    )
