"""The same weights for llm_export and for ExecuTorch's export_llm.

python benchmarks/same_weights.py FOLDER smollm2_135m 30

writes FOLDER/hf for llm_export, and FOLDER/model.pth with params.json for export_llm.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any


def write_smollm2(folder: Path, layers: int) -> None:
    """SmolLM2-135M-Instruct, or its first layers, as a Hugging Face folder and as Meta's files."""
    from safetensors.torch import load_file, save_file

    from llm_export import api
    from llm_export.models.convert import convert

    recipe = api.compose_recipe(None, ["model=smollm2_135m"]).recipe
    hf = folder / "hf"
    convert(recipe.checkpoint, hf, dtype="f32")
    config = json.loads((hf / "config.json").read_text(encoding="utf-8"))
    weights = {
        name: tensor
        for name, tensor in load_file(hf / "model.safetensors").items()
        if not (found := _LAYER.match(name)) or int(found[1]) < layers
    }
    save_file(weights, hf / "model.safetensors", {"format": "pt"})
    config["num_hidden_layers"] = layers
    (hf / "config.json").write_text(json.dumps(config), encoding="utf-8")
    _write_meta(folder, weights, config)


_LAYER = re.compile(r"model\.layers\.(\d+)\.")
_META = {
    "self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv", "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3", "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def _write_meta(folder: Path, weights: dict[str, Any], config: dict[str, Any]) -> None:
    """In export_llm's format; query and key rows stay in Hugging Face's RoPE order."""
    import torch

    table = weights["model.embed_tokens.weight"]
    theirs = {
        "tok_embeddings.weight": table, "output.weight": table,
        "norm.weight": weights["model.norm.weight"],
    }  # fmt: skip
    for name, tensor in weights.items():
        found = _LAYER.match(name)
        if found:
            part = name[found.end() :].removesuffix(".weight")
            theirs[f"layers.{found[1]}.{_META[part]}.weight"] = tensor
    torch.save(theirs, folder / "model.pth")
    params = {
        "dim": config["hidden_size"], "hidden_dim": config["intermediate_size"],
        "n_heads": config["num_attention_heads"], "n_kv_heads": config["num_key_value_heads"],
        "n_layers": config["num_hidden_layers"], "norm_eps": config["rms_norm_eps"],
        "rope_theta": config["rope_theta"], "use_scaled_rope": False,
        "vocab_size": config["vocab_size"], "use_hf_rope": True, "attention_qkv_bias": False,
        "multiple_of": 1,
    }  # fmt: skip
    (folder / "params.json").write_text(json.dumps(params), encoding="utf-8")


def write_random(folder: Path, model: str, layers: int) -> None:
    """Only Meta's files, in bfloat16: the cost does not depend on the values of the weights, and
    llm_export generates its own (checkpoint.random_seed)."""
    import torch

    from llm_export import api

    config = dict(api.compose_recipe(None, [f"model={model}"]).recipe.model.config)
    config["num_hidden_layers"] = layers
    dim, hidden, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    shapes = {
        "self_attn.q_proj": (queries, dim), "self_attn.k_proj": (keys, dim),
        "self_attn.v_proj": (keys, dim), "self_attn.o_proj": (dim, queries),
        "mlp.gate_proj": (hidden, dim), "mlp.down_proj": (dim, hidden),
        "mlp.up_proj": (hidden, dim), "input_layernorm": (dim,),
        "post_attention_layernorm": (dim,),
    }  # fmt: skip
    named = {"model.embed_tokens.weight": (config["vocab_size"], dim), "model.norm.weight": (dim,)}
    named |= {f"model.layers.{i}.{n}.weight": s for i in range(layers) for n, s in shapes.items()}
    weights = {n: torch.randn(s, dtype=torch.bfloat16) * 0.02 for n, s in named.items()}
    _write_meta(folder, weights, config)


def main() -> None:
    folder, model, layers = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    if model == "smollm2_135m":
        write_smollm2(folder, layers)
    else:
        write_random(folder, model, layers)


if __name__ == "__main__":
    main()
