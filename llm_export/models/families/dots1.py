"""dots.llm1: Qwen3's attention, and a mixture of experts after the first layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.config import (
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    MoEConfig,
    NormConfig,
)
from llm_export.models.families import gguf_moe, gguf_names, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.deepseek import EXPERTS
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import (
    activation,
    attending,
    decoder,
    grouped_query,
    layer_types,
    read_sizes,
)
from llm_export.models.families.sparse_layers import (
    ONE_GROUP,
    after_dense,
    corrected_router,
    multiple,
)

NAME = "dots1"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Dots1Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n, kind = read_sizes(c), activation(c)
    norm, bias = NormConfig(c.number("rms_norm_eps")), c.flag("attention_bias", before=False)
    attention = grouped_query(n, qkv_bias=bias, out_bias=bias, qk_norm=norm)
    layer = LayerConfig(attention, FeedForwardConfig(n.ffn, kind), norm)
    router = corrected_router(c, **_ROUTER)
    expert = FeedForwardConfig(c.count("moe_intermediate_size"), kind)
    mixture = MoEConfig(router, expert, multiple(expert, c.count("n_shared_experts")))
    layers = after_dense(c, layer, mixture, n.layers, usual=0)
    window = c.take("sliding_window", before=None)
    full = c.take("max_window_layers", before=62)
    slides = layer_types(c, n.layers, lambda i: full is not None and i >= full)
    c.expect("scoring_func", "noaux_tc", "sigmoid", before="sigmoid")
    c.expect("topk_method", "noaux_tc", before="noaux_tc")
    c.expect("moe_layer_freq", 1, before=1)
    # transformers knows no use_sliding_window here: a window is used where the layers say so.
    c.take_unused("num_local_experts", "pretraining_tp", "use_sliding_window")
    return decoder(c, n, tuple(
        attending(each, window=window if slide else None)
        for each, slide in zip(layers, slides, strict=True)
    ))  # fmt: skip


_ROUTER = {"norm_topk_prob": False, "routed_scaling_factor": 1.0, **ONE_GROUP}

FAMILY = Family(
    name=NAME,
    architecture="Dots1ForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(hf_names.LLAMA + hf_names.QK_NORM + EXPERTS),
        "gguf": gguf_names.COMMON_SHARED,
    },
    config_from={"gguf": gguf_moe.dots1},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 4, "intermediate_size": 96, "moe_intermediate_size": 32,
        "n_routed_experts": 8, "num_experts_per_tok": 2, "first_k_dense_replace": 1,
    },
)  # fmt: skip
