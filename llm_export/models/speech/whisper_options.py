"""What the files of a Whisper checkpoint say besides config.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.errors import CheckpointError
from llm_export.files import optional_json

if TYPE_CHECKING:
    from llm_export.checkpoints.base import Checkpoint

GENERATION, PREPROCESSOR = "generation_config.json", "preprocessor_config.json"

_FRONT_END = {"n_fft": 400, "hop_length": 160, "sampling_rate": 16000, "dither": 0.0}
"""What all published models have, and the program computes."""


def options_of(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """Of ``TranscribeOptions``, what generation_config.json says.

    Raises:
        CheckpointError: the front end is another one than the program's, or a file is damaged.
    """
    if not checkpoint.files:
        return {}
    folder = checkpoint.files[0].parent
    _require_front_end(folder)
    return generation_options(optional_json(folder / GENERATION), str(folder / GENERATION))


def _require_front_end(folder: Path) -> None:
    stated = optional_json(folder / PREPROCESSOR)
    for key, value in _FRONT_END.items():
        if stated.get(key, value) != value:
            raise CheckpointError(
                f"the audio front end has {key}={stated[key]!r}; the program computes "
                f"{key}={value!r}",
                where=str(folder / PREPROCESSOR),
            )


def generation_options(stated: Mapping[str, Any], where: str) -> dict[str, Any]:
    """generation_config.json of transformers -> fields of ``TranscribeOptions``.

    Raises:
        CheckpointError: an id is not a whole number.
    """
    try:
        return _options(stated)
    except (TypeError, ValueError, AttributeError):
        raise CheckpointError(
            "the special tokens of the generation config are not whole numbers", where=where,
            fix="take generation_config.json from the model's page again",
        ) from None  # fmt: skip


def _options(stated: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "decoder_start_token_id" in stated:
        found["start_ids"] = [int(stated["decoder_start_token_id"])]
    eos = stated.get("eos_token_id")
    if eos is not None:
        found["eos_ids"] = [int(each) for each in (eos if isinstance(eos, list) else [eos])]
    for ours, theirs in (("languages", "lang_to_id"), ("tasks", "task_to_id")):
        if stated.get(theirs):
            ids = {name.strip("<|>"): int(each) for name, each in stated[theirs].items()}
            found[ours] = dict(sorted(ids.items(), key=lambda item: item[1]))
    plain = stated.get("no_timestamps_token_id")
    if plain is not None:
        # The order of all published vocabularies: startofprev, nospeech, notimestamps, <|0.00|>.
        found["no_timestamps_id"], found["timestamp_begin"] = int(plain), int(plain) + 1
        found["no_speech_id"] = int(plain) - 1
        found["previous_id"] = int(stated.get("prev_sot_token_id") or int(plain) - 2)
    for ours, theirs in (
        ("suppress_ids", "suppress_tokens"), ("begin_suppress_ids", "begin_suppress_tokens"),
    ):  # fmt: skip
        if stated.get(theirs):
            found[ours] = [int(each) for each in stated[theirs]]
    if stated.get("max_initial_timestamp_index") is not None:
        found["max_initial_timestamp"] = int(stated["max_initial_timestamp_index"])
    if stated.get("alignment_heads"):
        found["alignment_heads"] = [[int(n) for n in each] for each in stated["alignment_heads"]]
    return found
