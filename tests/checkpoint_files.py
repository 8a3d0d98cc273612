"""Checkpoint files of every kind, made from one reference model, and the logits they give."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import hf_models
import numpy as np
import torch

from llm_export import api
from llm_export.config.schema import CheckpointConfig, Recipe
from llm_export.models.detect import detect_model
from llm_export.models.families.llama import GGUF_KEYS, HF_KEYS, META_KEYS
from llm_export.models.load_model import load_model
from llm_export.stages.verification.logits import eager_logits

IDS = list(range(3, 40))


def recipe_for(source: CheckpointConfig) -> Recipe:
    base = api.compose_recipe(None, ["model=tiny"]).recipe
    return replace(base, model=detect_model(source, 512), checkpoint=source)


def logits(source: CheckpointConfig, recipe: Recipe | None = None) -> torch.Tensor:
    recipe = replace(recipe, checkpoint=source) if recipe else recipe_for(source)
    loaded = load_model(recipe, attention="cacheless", context_length=64, all_logits=True)
    return eager_logits(loaded.model, IDS)


def expected(reference: Any) -> torch.Tensor:
    with torch.no_grad():
        return reference(torch.tensor([IDS])).logits[0]


def close(a: torch.Tensor, b: torch.Tensor, bar: float = 1e-5) -> bool:
    return float((a - b).abs().max() / b.abs().max()) < bar


def recipe_for_config(folder: Path) -> Recipe:
    """A recipe of the folder's architecture, without opening its weights."""
    base = api.compose_recipe(None, ["model=tiny"]).recipe
    raw = json.loads((folder / "config.json").read_text())
    keep = {k: v for k, v in raw.items() if k in base.model.config or k == "rope_parameters"}
    return replace(base, model=replace(base.model, config=keep))


def write_gguf(
    path: Path, reference: Any, quant: gguf.GGMLQuantizationType, **metadata: Any
) -> Path:
    """What llama.cpp's converter writes: names, permuted q and k, metadata, a byte vocabulary."""
    config = reference.config
    writer = gguf.GGUFWriter(path, metadata.pop("arch", "llama"))
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    assets = json.loads(
        hf_models.RandomCheckpoint(0, {"embed.weight": (320, 8)}).tokenizer().tokenizer_json
    )
    vocab = {**assets["model"]["vocab"], **{t["content"]: t["id"] for t in assets["added_tokens"]}}
    tokens = sorted(vocab, key=vocab.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(metadata.pop("pre", "smollm"))
    writer.add_token_list(tokens)
    writer.add_token_types([3 if t.startswith("<|") else 1 for t in tokens])
    writer.add_token_merges([])
    writer.add_bos_token_id(318)
    writer.add_eos_token_id(319)
    for name, tensor in reference.state_dict().items():
        target = GGUF_KEYS.to_checkpoint(HF_KEYS.to_model(name) or "")
        assert target, name
        data = tensor
        if ".q_proj" in name or ".k_proj" in name:
            rows = tensor.shape[0] // config.head_dim
            data = tensor.reshape(rows, 2, config.head_dim // 2, -1).swapaxes(1, 2)
            data = data.reshape(tensor.shape)
        kind = quant if tensor.dim() == 2 else gguf.GGMLQuantizationType.F32
        array = gguf.quants.quantize(np.ascontiguousarray(data.numpy()), kind)
        writer.add_tensor(target, array, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_meta(folder: Path, reference: Any) -> Path:
    config = reference.config
    state = {}
    for name, tensor in reference.state_dict().items():
        target = META_KEYS.to_checkpoint(HF_KEYS.to_model(name) or "")
        assert target, name
        if ".q_proj" in name or ".k_proj" in name:
            rows = tensor.shape[0] // config.head_dim
            tensor = tensor.reshape(rows, 2, config.head_dim // 2, -1).swapaxes(1, 2)
            tensor = tensor.reshape(rows * config.head_dim, -1).contiguous()
        state[target] = tensor
    folder.mkdir()
    torch.save(state, folder / "consolidated.00.pth")
    params = {"dim": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "head_dim": 16,
              "hidden_dim": 96, "multiple_of": 32, "norm_eps": 1e-5, "vocab_size": -1,
              "rope_theta": config.rope_parameters["rope_theta"]}  # fmt: skip
    (folder / "params.json").write_text(json.dumps(params))
    return folder
