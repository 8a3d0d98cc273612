"""How a GGUF file's authors generate with it: ``general.sampling.*``.

llama.cpp's converter writes these keys from generation_config.json, and what is absent there is
absent here; so they are read as those of that file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.tokenizers.generation import GenerationSettings, sampling_of

PREFIX = "general.sampling."
_NAMES = {
    "temp": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p",
    "penalty_repeat": "repetition_penalty",
}  # fmt: skip
# Other ways to choose a token -> the value with which they are off, and what only refines them.
_OFF: Mapping[str, float] = {
    "mirostat": 0, "xtc_probability": 0, "typ_p": 1, "penalty_freq": 0, "penalty_present": 0,
}  # fmt: skip
_REFINES = ("mirostat_tau", "mirostat_eta", "xtc_threshold")


def generation_of(meta: Mapping[str, Any], where: str) -> GenerationSettings:
    """The sampling settings of the metadata, and those that no runtime of a bundle implements.

    Raises:
        CheckpointError: a value is of the wrong type or out of range.
    """
    keys = {k.removeprefix(PREFIX): _short(v) for k, v in meta.items() if k.startswith(PREFIX)}
    stated = {_NAMES[key]: value for key, value in keys.items() if key in _NAMES}
    if isinstance(stated.get("top_k"), int):
        stated["top_k"] = max(stated["top_k"], 0)  # there, a negative one is off too
    temperature = stated.get("temperature")
    greedy = isinstance(temperature, int | float) and temperature <= 0
    stated["do_sample"] = bool(stated.keys() - {"repetition_penalty"}) and not greedy
    off = [
        f"{key}={value}"
        for key, value in keys.items()
        if key not in (*_NAMES, *_REFINES)
        and value != _OFF.get(key)
        # A penalty of 1 does nothing, whichever tokens it looks at.
        and not (key == "penalty_last_n" and stated.get("repetition_penalty", 1) == 1)
    ]
    suppressed = meta.get("tokenizer.ggml.suppress_tokens")
    if suppressed:
        off.append(f"suppress_tokens={suppressed}")
    return GenerationSettings((), sampling_of(stated, where), tuple(off))


def _short(value: Any) -> Any:
    """A float32 of the file as it was written: 0.6, not 0.6000000238."""
    return float(f"{value:.7g}") if isinstance(value, float) else value
