"""Strict parsing of a GGUF file's metadata, and detection of its family.

As with config.json, a key that was not read is an error. Values that the format cannot store come
from llama.cpp's fixed rules for the architecture (https://github.com/ggml-org/llama.cpp,
``src/llama-model.cpp``) or from the model option.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

from llm_export.errors import CheckpointError, did_you_mean, excerpt
from llm_export.models.families.count_limits import require_count

_MISSING = object()
_SIGMOID = 2

_FAMILIES = {
    "apertus": "apertus",
    "arcee": "arcee",
    "bitnet": "bitnet",
    "cohere2": "cohere2",
    "deepseek2": "deepseek_v2",
    "dots1": "dots1",
    "ernie4_5": "ernie4_5",
    "ernie4_5-moe": "ernie4_5_moe",
    "exaone4": "exaone4",
    "falcon-h1": "falcon_h1",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3": "gemma3_text",
    "gemma4": "gemma4_text",
    "glm4": "glm4",
    "glm4moe": "glm4_moe",
    "gpt-oss": "gpt_oss",
    "granite": "granite",
    "granite_swa": "granite_swa",
    "granitehybrid": "granitemoehybrid",
    "granitemoe": "granitemoe",
    "lfm2": "lfm2",
    "lfm2moe": "lfm2_moe",
    "hunyuan-dense": "hunyuan_v1_dense",
    "hunyuan-moe": "hunyuan_v1_moe",
    "llama": "llama",
    "mamba2": "mamba2",
    "mistral3": "ministral3",
    "nemotron_h": "nemotron_h",
    "nemotron_h_moe": "nemotron_h",
    "olmo2": "olmo2",
    "olmoe": "olmoe",
    "phi3": "phi3",
    "qwen2": "qwen2",
    "qwen2moe": "qwen2_moe",
    "qwen3": "qwen3",
    "qwen35": "qwen3_5_text",
    "qwen3moe": "qwen3_moe",
    "seed_oss": "seed_oss",
    "smollm3": "smollm3",
    "stablelm": "stablelm",
    "starcoder2": "starcoder2",
}
"""``general.architecture`` -> family, for architectures with exactly one."""

_BITNET_CPP = "it is bitnet.cpp's, whose ternary blocks the gguf package does not know"
_DELTA_EXPERTS = "no family has experts beside gated delta nets"
_UNREAD = {
    "bitnet-25": _BITNET_CPP, "bitnet-b1.58": _BITNET_CPP, "mamba": "no family has Mamba-1 mixers",
    "qwen35moe": _DELTA_EXPERTS, "qwen3next": _DELTA_EXPERTS,
}  # fmt: skip
"""Relatives of these architectures -> why they are not read."""

# Keys without effect on inference.
_INERT = frozenset({"tensor_data_layout", "vocab_size", "rope.scaling.finetuned"})


def families_of(raw: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The families that a file may belong to, the default first.

    llama.cpp's converter writes Mistral and Mixtral as architecture llama. A Mistral file does not
    state its window, so it is treated as Llama, as llama.cpp does.

    Raises:
        CheckpointError: the architecture is not known.
    """
    architecture = str(raw.get("general.architecture", ""))
    if architecture in _UNREAD:
        raise CheckpointError(
            f"the GGUF architecture '{architecture}' is not supported: {_UNREAD[architecture]}",
            where=where,
            fix="give the model's Hugging Face folder (safetensors): checkpoint.path=FOLDER",
        )
    if architecture not in _FAMILIES:
        raise CheckpointError(
            f"the GGUF architecture '{architecture}' is not supported",
            where=where,
            fix=f"supported: {', '.join(_FAMILIES)}; {did_you_mean(architecture, _FAMILIES)}",
        )
    if architecture == "llama":
        return ("mixtral",) if raw.get("llama.expert_count") else ("llama", "mistral")
    if architecture == "mistral3" and "mistral3.attention.temperature_scale" not in raw:
        return ("mistral",)  # the text model of Mistral Small 3.1 and 3.2
    if architecture == "granite":
        return ("granite", "granitemoehybrid")
    if raw.get("granitemoe.expert_shared_feed_forward_length"):
        return ("granitemoehybrid",)
    if architecture == "granitehybrid" and _is_bamba(raw):
        return ("bamba", "granitemoehybrid")
    if architecture == "olmo2" and raw.get("olmo2.attention.sliding_window"):
        return ("olmo3",)
    if raw.get("deepseek2.expert_gating_func") == _SIGMOID:
        return ("deepseek_v3",)
    return (_FAMILIES[architecture],)


def _is_bamba(raw: Mapping[str, Any]) -> bool:
    """The converter writes RoPE for Bamba alone, and Granite's factors for Granite alone."""
    rotates = raw.get("granitehybrid.rope.scaling.finetuned", True)
    return bool(rotates) and "granitehybrid.embedding_scale" not in raw


def shortest_float32(value: Any) -> Any:
    """The shortest decimal number that rounds to this float32, i.e. the number before
    conversion.
    """
    if not isinstance(value, float):
        return value
    stored = struct.pack("f", value)
    for digits in range(1, 10):
        short = float(f"{value:.{digits}g}")
        if struct.pack("f", short) == stored:
            return short
    return value


class Metadata:
    """Reads an architecture's keys one by one, without prefix; ``finish`` raises on unread keys.

    Args:
        raw: ``GGUFCheckpoint.config()``: metadata, ``tensor:NAME`` shapes, ``values:NAME``.
    """

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.architecture = str(raw["general.architecture"])
        prefix = f"{self.architecture}."
        self._raw = raw
        self._left = {k.removeprefix(prefix): v for k, v in raw.items() if k.startswith(prefix)}

    def take(self, key: str, *, before: Any = _MISSING) -> Any:
        """Remove ``key`` and return its value.

        Args:
            before: llama.cpp's default if the key is absent.

        Raises:
            CheckpointError: the key is missing.
        """
        if key in self._left:
            return shortest_float32(self._left.pop(key))
        if before is _MISSING:
            raise CheckpointError(
                f"the GGUF file lacks the key '{self.architecture}.{key}'", where="its metadata"
            )
        return before

    def expect(self, key: str, *accepted: Any, before: Any = _MISSING) -> Any:
        """Take ``key`` and require one of the values that are implemented."""
        value = self.take(key, before=accepted[0] if before is _MISSING else before)
        if value not in accepted:
            raise CheckpointError(
                f"{self.architecture}.{key}={value!r} is not implemented",
                where="the GGUF file's metadata",
                fix=f"implemented: {', '.join(map(repr, accepted))}",
            )
        return value

    def count(self, key: str, *, before: Any = _MISSING) -> int:
        """Take ``key`` and require one whole number, the same for all layers."""
        value = self.take(key, before=before)
        if isinstance(value, list) and len(set(map(str, value))) == 1:
            value = value[0]  # one for each layer
        if isinstance(value, bool) or not isinstance(value, int):
            raise CheckpointError(
                f"{self.architecture}.{key}={value!r} is not one whole number",
                where="the GGUF file's metadata",
                fix="models whose layers differ in size are not implemented",
            )
        require_count(key, value)
        return value

    def per_layer(self, key: str) -> list[int]:
        """Take ``key`` as a whole number for each layer; one number stands for all of them."""
        layers, value = self._blocks(), self.take(key)
        return self._each(key, value if isinstance(value, list) else [value] * layers, int)

    def flags(self, key: str) -> list[bool]:
        """Take ``key`` as true or false for each layer."""
        return self._each(key, self.take(key), bool)

    def _each(self, key: str, found: Any, kind: type) -> list[Any]:
        layers = self._blocks()
        fits = isinstance(found, list) and len(found) >= layers
        if not fits or not all(type(each) is kind for each in found):
            what = "a whole number" if kind is int else "true or false"
            raise CheckpointError(
                f"{self.architecture}.{key}={excerpt(repr(found))} is not {what} for each of "
                f"{layers} layers",
                where="the GGUF file's metadata",
            )
        return list(found[:layers])

    def _blocks(self) -> int:
        layers = self._raw.get(f"{self.architecture}.block_count")
        if type(layers) is not int:
            layers = self.count("block_count")
        require_count("block_count", layers)
        if layers < 1:
            raise CheckpointError(
                f"{self.architecture}.block_count={layers}: there are no layers",
                where="the GGUF file's metadata",
            )
        return layers

    def states(self, key: str) -> bool:
        return key in self._left

    def has(self, tensor: str) -> bool:
        return f"tensor:{tensor}" in self._raw

    def any(self, pattern: str) -> bool:
        """Whether a tensor's whole name matches the regular expression."""
        return any(re.fullmatch(f"tensor:{pattern}", name) for name in self._raw)

    def rows(self, tensor: str) -> int:
        """The first dimension of a tensor, as in torch."""
        if not self.has(tensor):
            raise CheckpointError(f"the GGUF file lacks the tensor '{tensor}'")
        return int(self._raw[f"tensor:{tensor}"][0])

    def values(self, tensor: str) -> list[float]:
        """The values of a small tensor."""
        return [shortest_float32(float(x)) for x in self._raw[f"values:{tensor}"]]

    def finish(self) -> None:
        """Raise on keys that were not read."""
        unknown = sorted(set(self._left) - _INERT)
        if unknown:
            names = ", ".join(f"{self.architecture}.{key}" for key in unknown)
            raise CheckpointError(
                f"the GGUF file has metadata that is not known: {names}",
                where=f"architecture {self.architecture}",
                fix="a key that changes the arithmetic and is ignored would give a wrong model",
            )


def read_common(
    m: Metadata,
    norm: str = "layer_norm_rms_epsilon",
    ffn: int | None = None,
    blocks: int | None = None,
) -> dict[str, Any]:
    """The keys of all architectures, except RoPE, as config.json keys.

    Args:
        norm: which epsilon key the norms use.
        ffn, blocks: the feed-forward length and the count of layers, if they have been read.
    """
    hidden, heads = m.count("embedding_length"), m.count("attention.head_count")
    m.expect("attention.causal", True)
    m.expect("pooling_type", 0)
    eps = m.take(f"attention.{norm}")
    # Converters write both keys if a config has both.
    for other in ("layer_norm_rms_epsilon", "layer_norm_epsilon"):
        m.take(f"attention.{other}", before=None)
    return {
        "vocab_size": m.rows("token_embd.weight"),
        "hidden_size": hidden,
        "num_hidden_layers": m.count("block_count") if blocks is None else blocks,
        "num_attention_heads": heads,
        "num_key_value_heads": m.count("attention.head_count_kv", before=heads),
        "intermediate_size": m.count("feed_forward_length") if ffn is None else ffn,
        "max_position_embeddings": m.count("context_length"),
        "rms_norm_eps": eps,
        "hidden_act": "silu",
        "tie_word_embeddings": not m.has("output.weight"),
    }


def read_head_dim(m: Metadata, facts: Mapping[str, Any]) -> int:
    """The head size, which must be equal for keys and values.

    Raises:
        CheckpointError: it is not, or there are no heads.
    """
    if facts["num_attention_heads"] < 1:
        raise CheckpointError(
            f"{m.architecture}.attention.head_count={facts['num_attention_heads']}: no heads",
            where="the GGUF file's metadata",
        )
    usual = facts["hidden_size"] // facts["num_attention_heads"]
    head_dim = m.count("attention.key_length", before=usual)
    if head_dim < 1:
        raise CheckpointError(
            f"{m.architecture}.embedding_length={facts['hidden_size']}: heads of {head_dim} "
            "channels",
            where="the GGUF file's metadata",
        )
    m.expect("attention.value_length", head_dim)
    return head_dim
