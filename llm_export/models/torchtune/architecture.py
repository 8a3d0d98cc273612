"""Convert a config.json to the arguments of torchtune's builders. Does not import torch.

torchtune implements one variant of each family. Other config values are rejected here, because its
builders have no argument for them and would silently build a wrong model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_export.compat.torchtune_builders import BUILDERS
from llm_export.errors import CheckpointError, did_you_mean
from llm_export.models.families.config_values import ConfigReader

Finish = Callable[..., "Architecture"]

_INERT = ("cache_implementation",)


@dataclass(frozen=True)
class Architecture:
    """The builder and its arguments.

    Attributes:
        builder: "module:function" of a torchtune component builder.
        arguments: its keyword arguments; ``max_seq_len`` is added when building.
        rope: attributes of the rotary embedding for which the builder has no argument.
        window: attention window in tokens, or None; torchtune supports it only for gemma2.
        softcap: gemma2's (attention scores, logits).
    """

    family: str
    builder: str
    arguments: Mapping[str, Any]
    num_layers: int
    vocab_size: int
    num_heads: int
    num_kv_heads: int
    hidden_size: int
    head_dim: int
    tied_embeddings: bool
    rope: Mapping[str, float] = field(default_factory=dict)
    window: int | None = None
    softcap: tuple[float, float] | None = None

    def conversion(self) -> dict[str, Any]:
        """The config values that torchtune's weight conversions need, named as in config.json."""
        return {
            "model_type": self.family,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "hidden_size": self.hidden_size,
            "head_dim": self.head_dim,
        }


def architecture(family: str, config: Mapping[str, Any]) -> Architecture:
    """The builder and its arguments for a config.json of ``family``.

    Raises:
        CheckpointError: torchtune has no such family, or the config has a key or a value
            that its builder does not implement.
    """
    if family not in _READERS:
        raise CheckpointError(
            f"torchtune has no builder for the family '{family}'",
            where="model.family",
            fix=f"{did_you_mean(family, _READERS)}, or model.definition=composable",
        )
    reader = ConfigReader(f"{family} (torchtune)", config)
    result = _READERS[family](reader)
    reader.take("max_position_embeddings")
    reader.finish(_INERT)
    return result


def _common(c: ConfigReader, family: str, builder: str, *, own_head_dim: bool = False) -> Finish:
    """The sizes that all builders take, and a function that creates the Architecture."""
    hidden, heads = c.count("hidden_size"), c.count("num_attention_heads")
    head_dim = c.take("head_dim", before=None) or hidden // heads
    if not own_head_dim and head_dim * heads != hidden:
        raise CheckpointError(
            f"torchtune's {family} has heads of hidden_size / num_attention_heads = "
            f"{hidden / heads:g} channels; the config says head_dim={head_dim}",
            where="config key head_dim",
            fix="model.definition=composable",
        )
    sizes: dict[str, Any] = {
        "vocab_size": c.count("vocab_size"),
        "num_layers": c.count("num_hidden_layers"),
        "num_heads": heads,
        "num_kv_heads": c.count("num_key_value_heads", before=heads),
        "embed_dim": hidden,
        "intermediate_dim": c.count("intermediate_size"),
        "norm_eps": c.number("rms_norm_eps"),
    }

    if own_head_dim:
        sizes["head_dim"] = head_dim

    def finish(arguments: Mapping[str, Any], tied: bool, **more: Any) -> Architecture:
        return Architecture(
            family, builder, {**sizes, **arguments}, sizes["num_layers"], sizes["vocab_size"],
            heads, sizes["num_kv_heads"], hidden, head_dim, tied, **more,
        )  # fmt: skip

    return finish


def _rope(c: ConfigReader, *accepted: str) -> tuple[float, dict[str, Any]]:
    """(theta, scaling) from the mapping of transformers 5, or the two keys of earlier versions."""
    merged = c.take("rope_parameters", before=None)
    if merged is None:
        theta = c.number("rope_theta", before=10000.0)
        scaling = dict(c.take("rope_scaling", before=None) or {})
    else:
        scaling = dict(merged)
        theta = float(scaling.pop("rope_theta"))
        c.take("rope_theta", before=None)
        c.take("rope_scaling", before=None)
    kind = scaling.pop("rope_type", None) or scaling.pop("type", None) or "default"
    scaling.pop("type", None)
    partial = scaling.pop("partial_rotary_factor", 1.0)
    if kind not in accepted or partial != 1.0:
        raise CheckpointError(
            f"torchtune's {c.family} does not implement RoPE of type {kind!r} over "
            f"{partial:g} of the channels",
            where="config key rope_scaling or rope_parameters",
            fix=f"it has {', '.join(accepted)}; or model.definition=composable",
        )
    return theta, scaling if kind != "default" else {}


def _llama(c: ConfigReader) -> Architecture:
    finish = _common(c, "llama", BUILDERS["llama"])
    c.expect("hidden_act", "silu")
    c.expect("pretraining_tp", 1, before=1)
    c.expect("attention_bias", False, before=False)
    c.expect("mlp_bias", False, before=False)
    tied = c.flag("tie_word_embeddings", before=False)
    theta, scaling = _rope(c, "default", "llama3")
    rope: dict[str, float] = {}
    if scaling:
        rope = {
            "low_freq_factor": scaling["low_freq_factor"],
            "high_freq_factor": scaling["high_freq_factor"],
            "old_context_len": scaling["original_max_position_embeddings"],
        }
    # Of torchtune's Llamas only 3.2 can tie embeddings; a scaling factor of 1 means no scaling.
    factor = scaling.get("factor", 1.0)
    arguments = {"rope_base": theta, "scale_factor": factor, "tie_word_embeddings": tied}
    return finish(arguments, tied, rope=rope)


def _mistral(c: ConfigReader) -> Architecture:
    finish = _common(c, "mistral", BUILDERS["mistral"])
    c.expect("hidden_act", "silu")
    c.expect("tie_word_embeddings", False, before=False)
    theta, _ = _rope(c, "default")
    window = c.take("sliding_window", before=None)
    return finish({"rope_base": theta}, False, window=window)


def _qwen2(c: ConfigReader) -> Architecture:
    finish = _common(c, "qwen2", BUILDERS["qwen2"])
    c.expect("hidden_act", "silu")
    c.expect("use_sliding_window", False, before=False)
    for unused in ("sliding_window", "max_window_layers"):  # without use_sliding_window
        c.take(unused, before=None)
    if set(c.take("layer_types", before=[])) - {"full_attention"}:
        raise CheckpointError(
            "torchtune's qwen2 has full attention in all layers", where="config key layer_types"
        )
    tied = c.flag("tie_word_embeddings", before=False)
    theta, _ = _rope(c, "default")
    return finish({"rope_base": theta, "tie_word_embeddings": tied}, tied)


def _phi3(c: ConfigReader) -> Architecture:
    finish = _common(c, "phi3", BUILDERS["phi3"])
    c.expect("hidden_act", "silu")
    c.expect("tie_word_embeddings", False, before=False)
    c.expect("attention_bias", False, before=False)
    c.expect("partial_rotary_factor", 1.0, before=1.0)
    c.take("original_max_position_embeddings", before=None)  # relevant only for scaled RoPE
    theta, _ = _rope(c, "default")
    window = c.take("sliding_window", before=None)
    return finish({"rope_base": theta}, False, window=window)


def _gemma2(c: ConfigReader) -> Architecture:
    finish = _common(c, "gemma2", BUILDERS["gemma2"], own_head_dim=True)
    c.expect("hidden_activation", "gelu_pytorch_tanh")
    c.take("hidden_act", before=None)  # superseded by hidden_activation
    c.expect("attention_bias", False, before=False)
    c.expect("tie_word_embeddings", True, before=True)
    c.expect("use_bidirectional_attention", None, False, before=None)
    kinds = ("sliding_attention", "full_attention")
    types = c.take("layer_types", before=None)
    if types is not None and list(types) != [kinds[i % 2] for i in range(len(types))]:
        raise CheckpointError(
            "torchtune's gemma2 has sliding attention in every layer of even number",
            where="config key layer_types",
        )
    theta, _ = _rope(c, "default")
    scores, logits = c.number("attn_logit_softcapping"), c.number("final_logit_softcapping")
    window = c.count("sliding_window")
    arguments = {
        "rope_base": theta,
        "hidden_capping_value": scores,
        "final_capping_value": logits,
        "sliding_window_size": window,
        "query_pre_attn_scalar": c.number("query_pre_attn_scalar"),
    }
    return finish(arguments, True, window=window, softcap=(scores, logits))


_READERS: dict[str, Callable[[ConfigReader], Architecture]] = {
    "llama": _llama,
    "mistral": _mistral,
    "qwen2": _qwen2,
    "gemma2": _gemma2,
    "phi3": _phi3,
}
