"""Build speech models of the generic tier, and read what their checkpoints say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from llm_export.checkpoints.base import Checkpoint
from llm_export.checkpoints.beside import WithOtherFiles, alone
from llm_export.files import optional_json
from llm_export.models.hf.auto_class import SPEECH
from llm_export.models.hf.config import build_model
from llm_export.models.hf.weights import filled_model
from llm_export.models.load_weights import Coverage
from llm_export.models.programs.library_task import LibraryTask
from llm_export.models.seq2seq.library_cache import ids_of
from llm_export.models.speech.check_options import check_library
from llm_export.models.speech.front_ends import KEY, front_end
from llm_export.models.speech.library import LibrarySpeech
from llm_export.models.speech.library_probe import lengths_of, require_plain, require_room
from llm_export.models.speech.whisper_options import GENERATION, PREPROCESSOR, generation_options


def _opened(checkpoint: Checkpoint) -> Checkpoint:
    if checkpoint.naming != "hf" or not checkpoint.files:
        return checkpoint
    settings = optional_json(checkpoint.files[0].parent / PREPROCESSOR)
    return WithOtherFiles(checkpoint, {KEY: settings}) if settings else checkpoint


def _options(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """What generation_config.json says; a token that answers always begin with is one of the
    first."""
    if not checkpoint.files:
        return {}
    file = checkpoint.files[0].parent / GENERATION
    stated = optional_json(file)
    found = generation_options(stated, str(file))
    forced = ids_of(stated.get("forced_bos_token_id"))
    if forced and found.get("start_ids"):
        found["start_ids"] = [*found["start_ids"], *forced]
    return found


def _build(
    config: Any, checkpoint: Checkpoint, stated: Mapping[str, Any], context_length: int, seed: int
) -> tuple[LibrarySpeech, Coverage]:
    outline = _outline(config, stated, context_length)
    hf, coverage = filled_model(config, alone(checkpoint), seed, SPEECH)
    model = LibrarySpeech(hf, front_end(hf, stated), outline.lengths, context_length).eval()
    model.init_buffers()
    return model, coverage


def _outline(config: Any, stated: Mapping[str, Any], context_length: int) -> LibrarySpeech:
    with torch.device("meta"), torch.no_grad():
        hf = build_model(config, SPEECH).eval()
        front = front_end(hf, stated)
        lengths = lengths_of(hf, front)
        require_plain(hf, front, lengths)
        return LibrarySpeech(hf, front, lengths, context_length).eval()


def _check(model: Any, options: Any, context_length: int | None) -> None:
    check_library(model, options, context_length)
    with torch.device("meta"):
        require_room(model.hf, model.front, model.lengths, options.max_seconds)


LIBRARY = LibraryTask(
    auto=SPEECH,
    build=_build,
    outline=_outline,
    check=_check,
    opened=_opened,
    options=_options,
    added_keys=(KEY,),
    has_head=True,
)
