"""A transformers model with the model interface of the stages."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any, cast

import torch
from torch import Tensor, nn

from llm_export.compat.symbolic_checks import check
from llm_export.compat.transformers_positions import first_position, last_rows, mask_tables
from llm_export.compat.transformers_recurrence import replaced
from llm_export.errors import CheckpointError
from llm_export.models.cache_metadata import CacheMetadata, Rewind
from llm_export.models.contract import LanguageModel, ModelMetadata
from llm_export.models.hf import attention
from llm_export.models.hf.cache import LayerSlots, Now, StepCache
from llm_export.models.hf.config import quietly
from llm_export.models.hf.probe import cache_argument, layer_caches
from llm_export.models.hf.recurrence import Form, replacements
from llm_export.models.hf.rings import Rings
from llm_export.models.hf.windows import layer_windows


class HFModel(LanguageModel):
    """tokens [B, S] int64, or their embeddings [B, S, H], input_pos [1] int64 -> logits
    [B, S or 1, V].

    Attention kinds: "cacheless" is the unmodified library model on the whole prefix; "plain" its
    own attention over a static cache, "ring" over rings in layers with a window; "custom_op" the
    fused operators. A recurrent state is kept beside any.
    """

    def __init__(self, hf: Any, context_length: int, kind: str, all_logits: bool) -> None:
        super().__init__()
        self.hf = hf.eval().requires_grad_(False)
        self.context_length = context_length
        self.all_logits = all_logits
        self.attention_kind = kind
        self._layers = layer_caches(hf)
        self.recurrent = any(layer.states for layer in self._layers)
        head, embedding = hf.get_output_embeddings(), hf.get_input_embeddings()
        if head is None or embedding is None:
            raise CheckpointError(f"{type(hf).__name__} has no embedding or no output matrix")
        self.metadata = ModelMetadata(
            vocab_size=int(head.weight.shape[0]),
            num_layers=len(self._layers),
            tied_embeddings=head.weight is embedding.weight,
        )
        self.head_name = next(name for name, module in self.named_modules() if module is head)
        taken = inspect.signature(hf.forward).parameters
        self._cache_argument = cache_argument(hf)
        self.first_position = first_position(hf)
        self._mask_tables = mask_tables(hf)
        self._takes_positions = "position_ids" in taken
        self._keeps_logits = "logits_to_keep" in taken
        self.cache_layers = nn.ModuleList()
        self.rings: Rings | None = None
        self.set_attention(kind)

    def set_attention(
        self, kind: str, *, step_length: int | None = None, sink_tokens: int = 0
    ) -> int:
        fused, context = kind == "custom_op", self.context_length
        windows = layer_windows(self.hf, context) if kind == "ring" else {}
        self.attention_kind = kind
        self.step_length = step_length if kind == "ring" else None
        self._form = Form(operators=fused, longest=step_length or context)
        self.rings = Rings(windows, context, step_length or context) if windows else None
        with quietly():
            self.hf.set_attn_implementation(attention.NAME if fused else "eager")
        kept = () if kind == "cacheless" else self._layers
        slots = context if self.rings is None else self.rings.layout.slots
        self.cache_layers = nn.ModuleList(
            LayerSlots(layer, slots if i in windows else context, fused, ringed=i in windows)
            for i, layer in enumerate(kept)
        )
        return len(self._layers)

    def cache_metadata(self) -> CacheMetadata:
        """A recurrent state cannot go back to an earlier position."""
        limits = None if self.rings is None else self.rings.rewind()
        limits = (0, 0) if self.recurrent else limits
        return CacheMetadata(
            rewind=None if limits is None else Rewind(*limits),
            recurrent=True if self.recurrent else None,
        )

    def input_embedding(self) -> nn.Module:
        return self.hf.get_input_embeddings()

    def init_buffers(self) -> None:
        for slots in self._slots():
            slots.init_buffers()
        if self.rings is not None:
            self.rings.init_buffers()

    def _slots(self) -> list[LayerSlots]:
        return [layer for layer in self.cache_layers if isinstance(layer, LayerSlots)]

    def forward(self, tokens: Tensor, input_pos: Tensor) -> Tensor:
        fed = "inputs_embeds" if tokens.is_floating_point() else "input_ids"
        options: dict[str, object] = {fed: tokens}
        if self._keeps_logits:
            options["logits_to_keep"] = 0 if self.all_logits else 1
        if self.attention_kind == "cacheless":
            with quietly():  # it announces which kernels are not installed
                logits = self.hf(use_cache=False, **options).logits
        else:
            logits = self._step(tokens, input_pos, options)
        return logits if self.all_logits else logits[:, -1:]

    def _step(self, tokens: Tensor, input_pos: Tensor, options: dict[str, object]) -> Tensor:
        start = cast(int, input_pos[0].item())
        check(start >= 0)
        check(start + tokens.shape[1] <= self.context_length)
        positions = input_pos + torch.arange(tokens.shape[1], device=tokens.device)
        if self._takes_positions:
            options["position_ids"] = positions.unsqueeze(0) + self.first_position
        # No slot is padding. Models with ALiBi biases derive their positions from this.
        unpadded = torch.ones(1, self.context_length, dtype=torch.int64, device=tokens.device)
        with contextlib.ExitStack() as stack:
            plan = None if self.rings is None else stack.enter_context(self.rings.step(positions))
            fused = self.attention_kind == "custom_op"
            cache = StepCache(
                self._slots(), Now(self.context_length, start, positions, fused, plan)
            )
            stack.enter_context(attention.starting_at(start))
            stack.enter_context(last_rows(self._mask_tables, positions, self.context_length))
            if self.recurrent:
                stack.enter_context(replaced(self.hf, replacements(cache.state_read, self._form)))
            return self.hf(
                # Recurrent layers would multiply every token by it.
                attention_mask=None if self.recurrent else unpadded,
                use_cache=True,
                **{self._cache_argument: cache},
                **options,
            ).logits
