"""How a checkpoint's authors generate with it: generation_config.json, else config.json.

https://huggingface.co/docs/transformers/main_classes/text_generation
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.files import optional_json

FILE, MODEL = "generation_config.json", "config.json"
# What transformers takes for those that are absent, if it samples at all.
_SAMPLED = {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "min_p": None, "typical_p": None}
_ALWAYS = ("repetition_penalty",)
_TINY = 1e-9
# The type of each, its least and its largest value.
_RANGES: Mapping[str, tuple[Any, float, float]] = {
    "temperature": (int | float, 0, math.inf),
    "top_k": (int, 0, math.inf),
    "top_p": (int | float, _TINY, 1),
    "min_p": (int | float, 0, 1),
    "repetition_penalty": (int | float, _TINY, math.inf),
    "typical_p": (int | float, _TINY, 1),
}
# Other ways to choose a token, and the values with which they are off.
_NOT_DONE: Mapping[str, tuple[Any, ...]] = {
    "num_beams": (1,), "num_beam_groups": (1,), "penalty_alpha": (0,),
    "top_h": (), "epsilon_cutoff": (0,), "eta_cutoff": (0,), "no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1,), "diversity_penalty": (0,), "bad_words_ids": ([],),
    "force_words_ids": ([],), "sequence_bias": ({}, []), "suppress_tokens": ([],),
    "begin_suppress_tokens": ([],), "forced_bos_token_id": (), "forced_eos_token_id": (),
    "exponential_decay_length_penalty": (), "min_length": (0,), "min_new_tokens": (0,),
    "guidance_scale": (1,), "watermarking_config": (), "stop_strings": ([],), "dola_layers": (),
    "constraints": ([],),
}  # fmt: skip


@dataclass(frozen=True)
class SamplingSettings:
    """Temperature 0 is greedy; top_k 0, top_p 1, min_p 0, repetition_penalty 1 and typical_p None
    are off."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    typical_p: float | None = None

    def as_hf(self) -> dict[str, object]:
        """The keys of a generation_config.json."""
        always: dict[str, object] = {
            "do_sample": self.temperature > 0,
            "repetition_penalty": self.repetition_penalty,
        }
        if self.temperature == 0:  # there, temperature 0 is an error
            return always
        sampled = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}
        typical = {} if self.typical_p is None else {"typical_p": self.typical_p}
        return {**always, **sampled, "min_p": self.min_p, **typical}


@dataclass(frozen=True)
class GenerationSettings:
    """
    Attributes:
        eos_ids: ids that end a generation: of generation_config.json, then of config.json.
        not_done: settings that no runtime of a bundle implements: "num_beams=4".
    """

    eos_ids: tuple[int, ...] = ()
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    not_done: tuple[str, ...] = ()


def read_generation(folder: Path) -> GenerationSettings:
    """Read generation_config.json; without it, the same keys of config.json.

    Raises:
        CheckpointError: a value is of the wrong type or out of range.
    """
    own, model = optional_json(folder / FILE), optional_json(folder / MODEL)
    inner = model.get("text_config")
    text = inner if isinstance(inner, dict) else {}
    whole = {**text, **{key: value for key, value in model.items() if value is not None}}
    if (folder / FILE).is_file():
        stated, where = own, folder / FILE
    else:
        stated, where = whole, folder / MODEL
    eos_ids = _ids(stated, where)
    # Some publishers correct only one of the two files. A stale id may be beyond the vocabulary.
    rows = whole.get("vocab_size")
    known = rows if isinstance(rows, int) and eos_ids else math.inf
    more = [i for i in _ids(whole, folder / MODEL) if i < known]
    eos_ids = tuple(dict.fromkeys([*eos_ids, *more]))
    off = [f"{k}={stated[k]}" for k, idle in _NOT_DONE.items()
           if stated.get(k) is not None and stated[k] not in idle]  # fmt: skip
    return GenerationSettings(eos_ids, sampling_of(stated, str(where)), tuple(off))


def _ids(stated: Mapping[str, Any], where: Path) -> tuple[int, ...]:
    value = stated.get("eos_token_id")
    ids = value if isinstance(value, list) else [] if value is None else [value]
    for token in ids:
        if isinstance(token, bool) or not isinstance(token, int):
            raise CheckpointError(f"eos_token_id={value!r} is no token id", where=str(where))
    return tuple(dict.fromkeys(ids))


def sampling_of(stated: Mapping[str, Any], where: str) -> SamplingSettings:
    """The settings of the keys of a generation_config.json.

    Raises:
        CheckpointError: a value is of the wrong type or out of range.
    """
    keys = (*_SAMPLED, *_ALWAYS) if stated.get("do_sample") else _ALWAYS
    found: dict[str, Any] = {}
    for key in keys:
        value = stated.get(key)
        value = _SAMPLED.get(key) if value is None else value
        if value is None:
            continue
        kind, low, high = _RANGES[key]
        if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
            raise CheckpointError(
                f"{key}={value!r} is out of range", where=where,
                fix=f"{'a whole number' if kind is int else 'a number'} from {low:g} to {high:g}",
            )  # fmt: skip
        found[key] = value
    return SamplingSettings(**found)
