"""From the config of a composed model (vision or audio and language) to that of its text model.

The text model's config stands in the other as ``text_config``, or under a name that other
publishers use, or its keys stand beside ``vision_config`` (Qwen2-VL). Where transformers knows the
composed model, it completes the text config: nested ones are stored as differences from defaults.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from llm_export.checkpoints.shards import TIED
from llm_export.errors import CheckpointError, MissingDependencyError

NESTED = ("text_config", "llm_config", "language_config", "thinker_config")
"""Keys of a text model's config. That of ``thinker_config`` is composed in turn."""
_OTHERS = ("vision_config", "audio_config", "encoder_config")

# Their text models attend to the prompt in both directions, or have inputs besides token ids.
_OTHER_ATTENTION = frozenset({"paligemma", "gemma3n", "moshi", "csm"})
# Text models of which transformers has no language model by itself, and the plain model that each
# of them is for text: M-RoPE (arXiv:2409.12191) gives a text token the same position three times,
# which is RoPE.
_PLAIN = {
    "qwen2_vl_text": "qwen2",
    "qwen2_5_vl_text": "qwen2",
    "qwen2_5_omni_text": "qwen2",
    "qwen3_vl_text": "qwen3",
}
_MROPE_KEYS = ("mrope_section", "mrope_interleaved")


@dataclass(frozen=True)
class TextConfig:
    """
    Attributes:
        config: of the text model, with its ``model_type``, whole.
        tied: whether the composed model ties embedding and head.
        where: the key, for messages.
    """

    config: Mapping[str, Any]
    tied: bool
    where: str


def text_config_of(raw: Mapping[str, Any]) -> TextConfig | None:
    """The text model's config; None if ``raw`` is not composed, or its text model is none that
    transformers builds as a language model.

    Raises:
        CheckpointError: the config of the composed model is not valid.
        MissingDependencyError: transformers is not installed.
    """
    outer, key = raw.get("model_type"), _key(raw)
    if key is None or not isinstance(outer, str) or outer in _OTHER_ATTENTION:
        return None
    stated = _part(raw, key).get("model_type") if key in NESTED else None
    if stated is not None and not isinstance(stated, str):
        return None  # reported with the family
    if stated == outer:
        return None
    _require_transformers(outer, key)
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = stated or (_default_type(outer) if outer in CONFIG_MAPPING else None)
    plain = _PLAIN.get(kind or "", kind)
    if plain not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return None
    text, tied = _completed(raw, key) if outer in CONFIG_MAPPING else _nested(raw, key)
    end = raw.get("eos_token_id", text.get("eos_token_id"))
    made = {**_as_plain(text, plain), "eos_token_id": end, "model_type": plain}
    return TextConfig(made, tied, key)


def placeholders(raw: Mapping[str, Any]) -> dict[str, int]:
    """Keys of the token ids that stand for other inputs than text, such as ``image_token_id``."""
    found: dict[str, int] = {}
    inputs = ("image", "video", "audio", "vision", "boi", "eoi", "boa", "eoa")
    for level in (raw, *(raw[key] for key in NESTED if isinstance(raw.get(key), dict))):
        for name, value in level.items():
            of_input = any(part in inputs for part in name.split("_"))
            named = "token" in name and name.endswith(("_id", "_index"))
            if of_input and named and isinstance(value, int) and not isinstance(value, bool):
                found.setdefault(name, value)
    return found


def stream_keys(raw: Mapping[str, Any]) -> dict[str, Any]:
    """How the text model divides its RoPE among the positions of M-RoPE, if it states so: what
    ``text_config_of`` leaves out, where the plain model does not know these keys.
    """
    key = _key(raw)
    part = {} if key is None else _part(raw, key)
    stated = [part.get(name) for name in ("rope_parameters", "rope_scaling")]
    return {
        name: value
        for rope in stated if isinstance(rope, Mapping)
        for name, value in rope.items() if name in _MROPE_KEYS
    }  # fmt: skip


def _key(raw: Mapping[str, Any]) -> str | None:
    for key in NESTED:
        if isinstance(raw.get(key), dict):
            return key
    other = next((key for key in _OTHERS if isinstance(raw.get(key), dict)), None)
    return other if other is not None and "hidden_size" in raw else None


def _part(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = raw[key].get(NESTED[0])
    return inner if isinstance(inner, dict) else raw[key]


def _default_type(outer: str) -> str | None:
    """Some configs name no type for their text model, because there is but one."""
    from transformers import CONFIG_MAPPING

    found = getattr(CONFIG_MAPPING[outer]().get_text_config(decoder=True), "model_type", None)
    return None if found is None else str(found)


def _completed(raw: Mapping[str, Any], key: str) -> tuple[dict[str, Any], bool]:
    """The text config with the values that it leaves out, and whether the whole model ties
    embedding and head.
    """
    from transformers import CONFIG_MAPPING

    outer = str(raw["model_type"])
    try:
        whole = CONFIG_MAPPING[outer].from_dict(dict(raw))
        text = whole.get_text_config(decoder=True)
    except Exception as error:  # each config class validates differently
        raise _not_valid(outer, key, error) from None
    return _public(text), bool(getattr(whole, TIED, False))


def _nested(raw: Mapping[str, Any], key: str) -> tuple[dict[str, Any], bool]:
    """Of a composed model that transformers does not know, around a text model that it knows."""
    from transformers import CONFIG_MAPPING

    nested = dict(_part(raw, key))
    try:
        text = CONFIG_MAPPING[str(nested["model_type"])].from_dict(nested)
    except Exception as error:  # each config class validates differently
        raise _not_valid(str(nested["model_type"]), key, error) from None
    return _public(text), bool(raw.get(TIED, False))


def _public(config: Any) -> dict[str, Any]:
    """As a config.json has it: with texts as keys."""
    stored = json.loads(config.to_json_string(use_diff=False))
    return {k: v for k, v in stored.items() if not k.startswith("_")}


def _as_plain(text: dict[str, Any], plain: str | None) -> dict[str, Any]:
    if plain == text.get("model_type"):
        return text
    rope = {k: v for k, v in (text.get("rope_parameters") or {}).items() if k not in _MROPE_KEYS}
    if rope.get("rope_type") == "mrope":
        rope["rope_type"] = "default"
    return {**text, "rope_parameters": rope}


def _not_valid(model_type: str, key: str, error: Exception) -> CheckpointError:
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return CheckpointError(
        f"not a valid '{model_type}' config: {line}", where=f"config.json, {key}"
    )


def _require_transformers(outer: str, key: str) -> None:
    try:
        metadata.version("transformers")
    except metadata.PackageNotFoundError:
        raise MissingDependencyError(
            f"the checkpoint is a '{outer}' around a text model, whose config transformers "
            "completes, and that is not installed",
            where=f"config.json, {key}",
            fix='pip install "llm_export[hf]"',
        ) from None
