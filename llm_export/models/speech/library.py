"""Any encoder–decoder of speech of the transformers library, as it stands: the generic tier of
``transcribe``."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.export import Dim

from llm_export.models.hf.cache import LayerShape
from llm_export.models.hf.prepare import drop_padding, fix_rope, write_out_gelu
from llm_export.models.programs.task_model import Constant, Method
from llm_export.models.seq2seq.cross_attention import SourceMask, additive
from llm_export.models.seq2seq.library_cache import (
    LayerCaches,
    ids_of,
    kept_shapes,
    step_of,
)
from llm_export.models.speech.front_ends import FrontEnd
from llm_export.models.speech.lengths import Lengths
from llm_export.models.speech.model import RATE, EncodeMethod, FeaturesMethod, SpeechModel
from llm_export.models.speech.options import TranscribeOptions
from llm_export.models.speech.whisper_ids import with_known_ids


class LibrarySpeech(SpeechModel):
    """A transformers model with caches as buffers: ``encode`` fills those of the audio, ``decode``
    reads them.

    Raises:
        CheckpointError: its decoder keeps something else than keys and values.
    """

    repeated_layers = ""

    def __init__(self, hf: Any, front: FrontEnd, lengths: Lengths, context_length: int) -> None:
        super().__init__()
        self.hf = hf.eval().requires_grad_(False)
        self.front, self.lengths = front, lengths
        fix_rope(hf)
        write_out_gelu(hf)
        self.features = front.features
        head, table = hf.get_output_embeddings(), hf.get_decoder().get_input_embeddings()
        self._shapes = _cache_shapes(hf, lengths.width)
        tied = head.weight is table.weight
        self.describe(int(table.weight.shape[0]), len(self._shapes), tied, context_length)
        self.head_name = next(name for name, module in self.named_modules() if module is head)
        for each in self.token_tables():
            drop_padding(each)
        self.hold(lengths.outputs(TranscribeOptions.max_seconds))

    def hold(self, slots: int) -> None:
        """Make room for that many outputs of the encoder; the caches are then empty."""
        self.slots = slots
        with next(self.hf.parameters()).device:
            self.caches = LayerCaches(self._shapes, self.context_length, slots)
            self.source = None if self.front.chunk else SourceMask(slots)
        if self.source is not None and not self.source.hidden.is_meta:
            self.source.init_buffers()

    def encode(self, audio: Tensor) -> Tensor:
        """Samples [1, N], or what ``features`` makes of them -> [1, T, D]."""
        mask = torch.ones(1, audio.shape[1]) if self.front.masked else None
        hidden: Tensor = self.hf.get_encoder()(
            audio, **({} if mask is None else {"attention_mask": mask.to(torch.int64)})
        )[0]
        outputs = hidden.shape[1]
        if not torch.compiler.is_exporting() and outputs > self.slots:
            self.hold(outputs)
        heard = torch.ones(1, outputs, dtype=torch.int64)
        if self.source is not None:
            self.source.fill(heard)
        start = torch.zeros(1, 1, dtype=torch.int64)
        self.hf.get_decoder()(
            # Some decoders add positions to it in place.
            input_ids=start, encoder_hidden_states=hidden.clone(),
            past_key_values=self.caches.filling(), use_cache=True, **self._masked(additive(heard)),
        )  # fmt: skip
        return hidden

    def _masked(self, hidden: Tensor) -> dict[str, Tensor]:
        return {} if self.source is None else {"encoder_attention_mask": hidden[:, None, None]}

    def decode(self, ids: Tensor, input_pos: Tensor) -> Tensor:
        """See ``SpeechModel.decode``."""
        start, positions, hidden = step_of(input_pos, ids.shape[1], self.context_length)
        decoded: Tensor = self.hf.get_decoder()(
            input_ids=ids,
            # Its keys and values are in the caches.
            encoder_hidden_states=torch.zeros(1, 1, self.lengths.width),
            attention_mask=hidden[None, None],
            past_key_values=self.caches.step(start, positions),
            use_cache=True,
            **({} if self.source is None else self._masked(self.source())),
        )[0]
        head = self.hf.get_output_embeddings()
        logits: Tensor = head(decoded if self.all_logits else decoded[:, -1])
        return logits

    def methods(self, options: TranscribeOptions, *, dynamic: bool) -> tuple[Method, ...]:
        step, most = self.lengths.step, self.lengths.most(options.max_seconds)
        self.hold(self.lengths.outputs(options.max_seconds))
        # The longest is the example: torch chooses a kind of convolution by its size, and takes
        # the choice for a limit of the dimension.
        samples, dims = torch.zeros(1, most * step), None
        if self.front.chunk is None and dynamic and most > self.lengths.fewest:
            dims = {1: step * Dim("steps", min=self.lengths.fewest, max=most)}
        decoder = self.decoder_method(options, dynamic)
        if self.features is None:
            return Method("encoder", EncodeMethod(self), (samples,), (dims,)), decoder
        made = self.features(samples)
        features = Method("features", FeaturesMethod(self), (samples,), (dims,))
        return features, Method("encoder", EncodeMethod(self), (made,), (None,)), decoder

    def told(self, options: TranscribeOptions) -> TranscribeOptions:
        """The options, with what they leave open."""
        return with_ids(self.hf.config, self.front, options)

    def settings(self, options: TranscribeOptions) -> dict[str, Any]:
        told = super().settings(self.told(options))
        if self.front.chunk is not None:
            outputs = self.lengths.outputs(options.max_seconds)
            seconds = self.front.chunk / RATE
            return {**told, "chunk_seconds": seconds, "time_precision": seconds / outputs}
        step = self.lengths.step
        return {
            **told,
            "min_seconds": self.lengths.least_seconds,
            "max_seconds": self.lengths.most(options.max_seconds) * step / RATE,
            "samples_multiple": step,
            "tokens_per_second": options.tokens_per_second,
        }

    def constants(self, options: TranscribeOptions) -> dict[str, Constant]:
        return {**super().constants(options), "get_eos_ids": list(self.told(options).eos_ids)}

    def set_attention(self, kind: str) -> int:
        self.attention_kind = kind
        return 0

    def token_tables(self) -> Sequence[nn.Module]:
        return [module for module in self.hf.modules() if isinstance(module, nn.Embedding)
                and module.weight.shape[0] == self.metadata.vocab_size]  # fmt: skip

    def tie(self) -> None:
        """The library has done it."""

    def init_buffers(self) -> None:
        for module in (self.caches, self.source, self.features):
            if module is not None:
                cast(Any, module).init_buffers()


def with_ids(config: Any, front: FrontEnd, options: TranscribeOptions) -> TranscribeOptions:
    """``options``, with the ids that they leave open: of config.json, and of the published
    vocabularies where there are such.
    """
    told = with_known_ids(options, int(config.vocab_size)) if front.of_whisper else options
    first = ids_of(getattr(config, "decoder_start_token_id", None)) or ids_of(
        getattr(config, "bos_token_id", None)
    )
    return replace(
        told,
        start_ids=told.start_ids or tuple(first),
        eos_ids=told.eos_ids or tuple(ids_of(getattr(config, "eos_token_id", None))),
    )


def _cache_shapes(hf: Any, width: int) -> list[tuple[LayerShape, LayerShape]]:
    """Of each layer's own keys and values and of the audio's, seen in a step of one token."""
    decoder, device = hf.get_decoder(), next(hf.parameters()).device
    visible = torch.zeros(1, 1, 1, 1, device=device)
    masks = {"attention_mask": visible, "encoder_attention_mask": visible}
    taken = inspect.signature(decoder.forward).parameters
    return kept_shapes(
        hf.config.model_type,
        lambda cache: decoder(
            input_ids=torch.zeros(1, 1, dtype=torch.int64, device=device),
            encoder_hidden_states=torch.zeros(1, 1, width, device=device),
            past_key_values=cache, use_cache=True,
            **{name: mask for name, mask in masks.items() if name in taken},
        ),
    )  # fmt: skip
