"""Compare the generic tier with transformers for a tiny random member of every causal model type.

Prints one line for each type: agrees or differs, with the largest relative error of the logits for
one chunk and for uneven chunks through the cache; refused, with the reason; or that no tiny model
could be built from the config's defaults. Takes ten minutes; give model types to try only those.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from typing import Any

import torch
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

from llm_export.errors import LlmExportError
from llm_export.models.hf.config import build_model, quietly, transformers_config
from llm_export.models.hf.model import HFModel
from llm_export.models.hf.prepare import prepare
from llm_export.models.hf.weights import random_model

BAR, CONTEXT, LARGEST = 1e-4, 48, 30_000_000
CHUNKS = ([30], [7, 12, *[1] * 11])
SIZES = {
    r"vocab_size|vocab_size_per_layer_input": 320,
    r"hidden_size|n_embd|d_model|embed_dim|word_embed_proj_dim|attention_hidden_size": 64,
    r"num_hidden_layers|n_layers?|num_layers": 2,
    r"num_attention_heads|n_heads?|num_heads|linear_num_(value_)?heads": 4,
    r"num_(global_)?key_value_heads|num_kv_heads|linear_num_key_heads": 2,
    r"(global_|attention_|linear_|linear_key_|linear_value_|mamba_)?head_dim|mamba_d_head": 16,
    r".*intermediate_size.*|ffn_dim|n_inner|d_ff|ffn_hidden_size": 96,
    r"num_local_experts|num_experts|n_routed_experts|moe_num_experts": 4,
    r"num_experts_per_tok(en)?|moe_k|top_k_experts|moe_topk|mamba_n_groups|n_groups": 2,
    r"n_group|topk_group|first_k_dense_replace|num_dense_layers": 1,
    r"max_position_embeddings|n_positions|max_seq_len": 512,
    r"q_lora_rank": 24, r"kv_lora_rank": 16, r"qk_rope_head_dim": 8, r"qk_nope_head_dim": 16,
    r"v_head_dim": 12, r"mamba_d_state|state_size|ssm_state_size": 16,
    r"mamba_(n|num)_heads": 8, r"mamba_d_ssm": 128, r"mamba_dt_rank|time_step_rank": 8,
    r"sliding_window|window_size|attention_chunk_size": 16, r"(mamba_)?chunk_size": 8,
    r"num_kv_shared_layers|pad_token_id": 0, r"bos_token_id": 1, r"eos_token_id": 2,
}  # fmt: skip


def tiny_config(model_type: str) -> Any:
    """The default config with every size that is known by name made small."""
    kind = CONFIG_MAPPING[model_type]
    stated = kind().to_dict()
    small = {
        key: size
        for key, value in stated.items()
        for pattern, size in SIZES.items()
        if re.fullmatch(pattern, key) and type(value) in (int, float)
    }
    if "kv_lora_rank" in stated and "num_key_value_heads" in small:
        small["num_key_value_heads"] = 4  # latent attention has as many as queries
    return transformers_config(json.loads(kind(**small).to_json_string(use_diff=False)))


def verdict(model_type: str) -> str:
    try:
        config = tiny_config(model_type)
        with torch.device("meta"):
            size = sum(p.numel() for p in build_model(config).parameters())
        if size > LARGEST:
            return f"no tiny member: {size} parameters"
        hf, _ = random_model(config, 0)
        ids = torch.randint(3, 300, (1, 30), generator=torch.Generator().manual_seed(1))
        with torch.no_grad(), quietly():
            expected = hf.eval()(ids, use_cache=False).logits
    except LlmExportError as error:
        # The library may refuse the sizes; whether it builds real ones is another question.
        guessed = error.what.startswith("transformers cannot build")
        return f"{'no tiny member' if guessed else 'refused'}: {error.what}"
    except Exception as error:  # the library checks configs in its own ways
        return f"no tiny member: {type(error).__name__}"
    try:
        prepare(hf)
        model = HFModel(hf, CONTEXT, "plain", all_logits=True)
    except LlmExportError as error:
        return f"refused: {error.what}"
    errors = [_error(model, ids, lengths, expected) for lengths in CHUNKS]
    word = "agrees" if max(errors) < BAR else "differs"
    kind = ", recurrent" if model.recurrent else ""
    return f"{word} ({', '.join(f'{e:.0e}' for e in errors)}{kind})"


def _error(model: Any, ids: torch.Tensor, lengths: list[int], expected: torch.Tensor) -> float:
    rows, start = [], 0
    with torch.no_grad():
        for length in lengths:
            rows.append(model(ids[:, start : start + length], torch.tensor([start])))
            start += length
    return float((torch.cat(rows, 1) - expected).abs().max() / expected.abs().max())


def main() -> None:
    warnings.filterwarnings("ignore")
    known = sorted(k for k, v in CONFIG_MAPPING.items() if v in MODEL_FOR_CAUSAL_LM_MAPPING)
    for model_type in sys.argv[1:] or known:
        print(f"{model_type:28} {verdict(model_type)}".replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
