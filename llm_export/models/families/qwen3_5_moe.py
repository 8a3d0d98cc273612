"""Qwen3.5 with a mixture of experts, text: a gated network beside the experts in every layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.config import DecoderConfig, FeedForwardConfig, MoEConfig, RouterConfig
from llm_export.models.families import expert_names, qwen3_5
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import activation, read_sizes
from llm_export.models.families.qwen2_moe import EXPERTS
from llm_export.models.families.sparse_layers import chosen_of

NAME = "qwen3_5_moe_text"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Qwen3_5MoeTextConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    size = c.count("moe_intermediate_size", before=512)
    n, kind = read_sizes(c, ffn=size), activation(c)
    experts, key = c.count("num_experts", before=256), "num_experts_per_tok"
    chosen = chosen_of(c, key, c.count(key, before=8), experts)
    beside = c.count("shared_expert_intermediate_size", before=512)
    # There are no dense layers, and the weights always sum to one.
    c.take_unused("num_local_experts", "intermediate_size")
    c.expect("norm_topk_prob", True, before=True)
    c.expect("decoder_sparse_step", 1, before=1)
    c.expect("mlp_only_layers", [], None, before=None)
    mixture = MoEConfig(
        RouterConfig("softmax", experts, chosen, normalize=True), FeedForwardConfig(size, kind),
        FeedForwardConfig(beside, kind), shared_gate=True,
    )  # fmt: skip
    return qwen3_5.hybrid(c, n, mixture)


# As published; transformers writes each expert apart.
_STACKED = expert_names.stacked("mlp.experts.gate_up_proj", "mlp.experts.down_proj", written=False)

FAMILY = Family(
    name=NAME,
    architecture="Qwen3_5MoeForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            [*qwen3_5.LAYERS, *EXPERTS],
            splits=[*qwen3_5.SPLITS, *_STACKED],
            ignored=qwen3_5.IGNORED,
        )
    },
    restore={"hf": qwen3_5.restore},
    store=qwen3_5.store,
    arrange={"hf": qwen3_5.arrange},
    disarrange=qwen3_5.disarrange,
    tiny={
        **{k: v for k, v in qwen3_5.FAMILY.tiny.items() if k != "intermediate_size"},
        "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48,
        "shared_expert_intermediate_size": 32,
    },
)  # fmt: skip
