"""Any encoder–decoder of texts of the transformers library, as it stands: the generic tier of
``translate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.export import Dim

from llm_export.checkpoints.base import Checkpoint
from llm_export.files import read_json
from llm_export.models.contract import ModelMetadata
from llm_export.models.hf.auto_class import SEQ2SEQ
from llm_export.models.hf.cache import LayerShape
from llm_export.models.hf.config import build_model
from llm_export.models.hf.prepare import drop_padding
from llm_export.models.hf.weights import filled_model
from llm_export.models.load_weights import Coverage
from llm_export.models.programs.library_task import LibraryTask
from llm_export.models.programs.task_model import Constant, Method, TaskModel
from llm_export.models.seq2seq.cross_attention import SourceMask, additive
from llm_export.models.seq2seq.languages import check_languages, languages_of, source_ids
from llm_export.models.seq2seq.library_cache import (
    LayerCaches,
    cannot_follow,
    ids_of,
    kept_shapes,
    step_of,
)
from llm_export.models.seq2seq.options import TranslateOptions
from llm_export.models.seq2seq.t5 import Decoder, Encoder


class LibrarySeq2Seq(TaskModel):
    """A transformers model with caches as buffers: ``encode`` fills those of the source,
    ``decode`` reads them.

    Args:
        around: ids before and behind the tokens of a source, as the tokenizer adds them.
        forced: ids that an answer always begins with.

    Raises:
        CheckpointError: its decoder keeps something else than keys and values.
    """

    read: Tensor

    def __init__(
        self,
        hf: Any,
        context_length: int,
        around: tuple[list[int], list[int]] = ([], []),
        forced: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.hf, self.context_length = hf.eval().requires_grad_(False), context_length
        self._around, self._forced = around, list(forced)
        head = hf.get_output_embeddings()
        shapes = _cache_shapes(hf)
        table = hf.get_input_embeddings()
        self.metadata = ModelMetadata(
            int(table.weight.shape[0]), len(shapes), head.weight is table.weight
        )
        self.head_name = next(name for name, module in self.named_modules() if module is head)
        for each in self.token_tables():
            drop_padding(each)
        self.caches = LayerCaches(shapes, context_length, context_length)
        self.source_mask = SourceMask(context_length)
        self.register_buffer(
            "read", torch.zeros(1, context_length, int(hf.config.hidden_size)), persistent=False
        )

    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids and mask [1, S] -> [1, S, D]; the caches then hold this source."""
        hidden: Tensor = self.hf.get_encoder()(
            input_ids=ids, attention_mask=additive(mask)[:, None, None]
        )[0]
        self.source_mask.fill(mask)
        start = torch.full((1, 1), self.start(TranslateOptions())[0], dtype=torch.int64)
        self.hf(
            decoder_input_ids=start, encoder_outputs=(hidden,),
            attention_mask=additive(mask)[:, None, None],
            past_key_values=self.caches.filling(), use_cache=True,
        )  # fmt: skip
        return hidden

    def decode(self, ids: Tensor, input_pos: Tensor) -> Tensor:
        """ids [1, S] at positions from ``input_pos`` [1] on -> logits [1, V] after the last, or
        [1, S, V] if ``all_logits``."""
        start, positions, hidden = step_of(input_pos, ids.shape[1], self.context_length)
        logits: Tensor = self.hf(
            decoder_input_ids=ids,
            encoder_outputs=(self.read,),  # its keys and values are in the caches
            attention_mask=self.source_mask()[:, None, None],
            decoder_attention_mask=hidden[None, None],
            past_key_values=self.caches.step(start, positions),
            use_cache=True,
        ).logits
        return logits if self.all_logits else logits[:, -1]

    def methods(self, options: Any, *, dynamic: bool) -> tuple[Method, ...]:
        most = self.context_length
        source, step = (min(4, most), 2) if dynamic else (most, 1)
        ids = torch.zeros(1, source, dtype=torch.int64)
        tokens = {1: Dim("tokens", min=1, max=most)} if dynamic else None
        steps = {1: Dim("steps", min=1, max=most)} if dynamic else None
        model = cast(Any, self)
        return (
            Method("encoder", Encoder(model), (ids, torch.ones_like(ids)), (tokens, tokens)),
            Method("decoder", Decoder(model), (ids[:, :step], torch.zeros(1, dtype=torch.int64)),
                   (steps, None)),
        )  # fmt: skip

    def settings(self, options: Any) -> dict[str, Any]:
        pad, (before, behind) = self.hf.config.pad_token_id, self._around
        return {
            "start_ids": self.start(options),
            "eos_ids": ids_of(self.hf.config.eos_token_id),
            "source_prefix": source_ids(options, before),
            "source_suffix": source_ids(options, behind),
            "pad_id": 0 if pad is None else pad,
            "source_length": self.context_length,
            "target_length": self.context_length,
            "prefixes": dict(options.prefixes),
        }

    def constants(self, options: Any) -> dict[str, Constant]:
        return {
            "get_max_seq_len": self.context_length, "get_max_context_len": self.context_length,
            "get_vocab_size": self.metadata.vocab_size,
            "get_eos_ids": ids_of(self.hf.config.eos_token_id),
        }  # fmt: skip

    def start(self, options: TranslateOptions) -> list[int]:
        """The decoder's first tokens; a language that is always meant is one of them."""
        config, language = self.hf.config, options.target_language
        first = ids_of(getattr(config, "decoder_start_token_id", None))
        forced = self._forced if language is None else [options.languages[language]]
        return [*(first or ids_of(config.bos_token_id) or [0]), *forced]

    def token_tables(self) -> Sequence[nn.Module]:
        return [module for module in self.hf.modules() if isinstance(module, nn.Embedding)
                and module.weight.shape[0] == self.metadata.vocab_size]  # fmt: skip

    def init_buffers(self) -> None:
        self.caches.init_buffers()
        self.source_mask.init_buffers()
        self.read = torch.zeros(self.read.shape, device="cpu")


def _cache_shapes(hf: Any) -> list[tuple[LayerShape, LayerShape]]:
    """Of each layer's own keys and values and of the source's, seen in a step of one token."""
    device = next(hf.parameters()).device
    size, one = int(hf.config.hidden_size), torch.zeros(1, 1, dtype=torch.int64, device=device)
    visible = torch.zeros(1, 1, 1, 1, device=device)
    return kept_shapes(
        hf.config.model_type,
        lambda cache: hf(
            decoder_input_ids=one, encoder_outputs=(torch.zeros(1, 1, size, device=device),),
            attention_mask=visible, decoder_attention_mask=visible, past_key_values=cache,
            use_cache=True,
        ),
    )  # fmt: skip


def _around(checkpoint: Checkpoint) -> tuple[list[int], list[int]]:
    """What the tokenizer's post-processor adds before and behind a text."""
    tokenizer = Tokenizer.from_str(checkpoint.tokenizer().tokenizer_json)
    inner = tokenizer.encode("a", add_special_tokens=False).ids
    whole = tokenizer.encode("a").ids
    for start in range(len(whole) - len(inner) + 1):
        if inner and whole[start : start + len(inner)] == inner:
            return whole[:start], whole[start + len(inner) :]
    return [], []


def _generation(checkpoint: Checkpoint, stated: Mapping[str, Any]) -> dict[str, Any]:
    """generation_config.json beside the weights; older checkpoints have its keys in config.json."""
    file = checkpoint.files[0].parent / "generation_config.json" if checkpoint.files else None
    found = read_json(file) if file is not None and file.is_file() else {}
    return {**stated, **found}


def _options(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """The languages that the tokenizer has tokens for, and the one that answers begin with."""
    languages = languages_of(checkpoint.tokenizer().tokenizer_json) if checkpoint.files else {}
    if not languages:
        return {}
    forced = ids_of(_generation(checkpoint, checkpoint.config()).get("forced_bos_token_id"))
    target = [name for name, number in languages.items() if [number] == forced]
    return {"languages": languages, **({"target_language": target[0]} if target else {})}


def _check(model: Any, options: TranslateOptions, context_length: int | None) -> None:
    check_languages(options, model.start(replace(options, target_language=None)))


def _build(
    config: Any, checkpoint: Checkpoint, stated: Mapping[str, Any], context_length: int, seed: int
) -> tuple[LibrarySeq2Seq, Coverage]:
    hf, coverage = filled_model(config, checkpoint, seed, SEQ2SEQ)
    forced = ids_of(_generation(checkpoint, stated).get("forced_bos_token_id"))
    return LibrarySeq2Seq(hf, context_length, _around(checkpoint), forced).eval(), coverage


def _outline(config: Any, stated: Mapping[str, Any], context_length: int) -> LibrarySeq2Seq:
    with torch.device("meta"), torch.no_grad():
        model = LibrarySeq2Seq(build_model(config, SEQ2SEQ), context_length)
        ids = torch.zeros(1, context_length, dtype=torch.int64)
        try:
            model.encode(ids, torch.ones_like(ids))
        except Exception as error:  # each model fails in its own way
            raise cannot_follow(config.model_type, "encoder", error) from error
    return model


LIBRARY = LibraryTask(
    auto=SEQ2SEQ,
    build=_build,
    outline=_outline,
    check=_check,
    options=_options,
    has_head=True,
)
