"""Tiny transformers models as GGUF files, the way that llama.cpp's converter writes them.

This is written from what the converter does (ggml-org/llama.cpp, ``conversion/``) and from the
gguf package's tables; it shares nothing with the families under test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
from gguf_hybrid_settings import kinds_of
from gguf_settings import write_metadata
from gguf_tensors import converted, tables
from torch import tensor

from llm_export.checkpoints.random import RandomCheckpoint

ARCHITECTURES = {
    "llama": "llama", "mistral": "llama", "mixtral": "llama", "qwen2": "qwen2", "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe", "smollm3": "smollm3", "phi3": "phi3", "gemma": "gemma",
    "gemma2": "gemma2", "gemma3_text": "gemma3", "olmo2": "olmo2", "olmoe": "olmoe",
    "granite": "granite", "stablelm": "stablelm", "starcoder2": "starcoder2",
    "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2", "gpt_oss": "gpt-oss",
    "lfm2": "lfm2",
    "ministral3": "mistral3", "hunyuan_v1_dense": "hunyuan-dense", "seed_oss": "seed_oss",
    "arcee": "arcee", "ernie4_5": "ernie4_5", "glm4": "glm4",
    "exaone4": "exaone4", "olmo3": "olmo2", "cohere2": "cohere2", "granitemoehybrid": "granite",
    "falcon_h1": "falcon-h1", "bamba": "granitehybrid", "granite_swa": "granite_swa",
    "apertus": "apertus", "bitnet": "bitnet", "lfm2_moe": "lfm2moe", "gemma4_text": "gemma4",
    "mamba2": "mamba2", "nemotron_h": "nemotron_h", "qwen3_5_text": "qwen35",
    "ernie4_5_moe": "ernie4_5-moe", "glm4_moe": "glm4moe", "qwen2_moe": "qwen2moe",
    "granitemoe": "granitemoe", "hunyuan_v1_moe": "hunyuan-moe", "dots1": "dots1",
}  # fmt: skip
"""transformers' model type -> ``general.architecture``."""


def label(config: Any) -> str:
    """``general.architecture``, which for some models depends on their layers."""
    kind = config.model_type
    if kind == "nemotron_h" and "moe" in kinds_of(config):
        return "nemotron_h_moe"
    if kind == "granitemoehybrid" and "mamba" in kinds_of(config):
        return "granitehybrid"
    if kind == "granitemoehybrid" and config.num_local_experts:
        return "granitemoe"
    return ARCHITECTURES[kind]


def architecture(config: Any) -> gguf.MODEL_ARCH:
    """The tables of names; the package may be older than an architecture."""
    known = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}
    return known.get(label(config), known["granite"])


def write_vocabulary(w: gguf.GGUFWriter, rows: int) -> None:
    """The byte vocabulary of random checkpoints, and a merge: the writer drops empty lists."""
    import json

    assets = json.loads(RandomCheckpoint(0, {"embed.weight": (rows, 8)}).tokenizer().tokenizer_json)
    vocab = {**assets["model"]["vocab"], **{t["content"]: t["id"] for t in assets["added_tokens"]}}
    tokens = sorted(vocab, key=vocab.__getitem__)
    tokens[tokens.index("<unused0>")] = "Ġt"
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(tokens)
    w.add_token_types([3 if t.startswith("<|") else 1 for t in tokens])
    w.add_token_merges(["Ġ t"])
    w.add_bos_token_id(rows - 2)
    w.add_eos_token_id(rows - 1)


def gguf_name(model: Any, name: str) -> str:
    """A tensor's name in the file, by the gguf package's tables."""
    if name.startswith("blk."):
        return name
    config = model.config
    names = gguf.get_tensor_name_map(architecture(config), config.num_hidden_layers)
    # The tables know Mixtral's experts as transformers held them before version 5.
    mapped = names.get_name(name, try_suffixes=(".weight", ".bias"))
    if mapped is None:
        older = re.sub(r"model\.layers\.(\d+)\.mlp\.", r"model.layers.\1.block_sparse_moe.", name)
        mapped = names.get_name(older, try_suffixes=(".weight", ".bias"))
    if mapped is None and name.endswith("sinks.weight"):
        mapped = "blk." + re.findall(r"layers\.(\d+)", name)[0] + ".attn_sinks.weight"
    assert mapped, name
    return str(mapped)


def write_gguf(
    path: Path,
    model: Any,
    quant: str = "F32",
    *,
    old: bool = False,
    change: Callable[[gguf.GGUFWriter], None] = lambda writer: None,
) -> Path:
    """Write ``model`` with matrices in block type ``quant`` where their rows allow it.

    As llama.cpp does, MXFP4 only for experts.
    """
    w = gguf.GGUFWriter(path, label(model.config))
    w.add_name("tiny")
    write_metadata(w, model, old)
    change(w)
    write_vocabulary(w, model.config.vocab_size)
    for table, numbers in tables(model.config):
        w.add_tensor(table, tensor(numbers).float().numpy())
    wanted = gguf.GGMLQuantizationType[quant]
    block = gguf.GGML_QUANT_SIZES[wanted][0]
    for name, value in converted(model, old):
        fits = value.dim() > (2 if quant == "MXFP4" else 1) and value.shape[-1] % block == 0
        kind = wanted if fits else gguf.GGMLQuantizationType.F32
        array = gguf.quants.quantize(np.ascontiguousarray(value.float().numpy()), kind)
        w.add_tensor(gguf_name(model, name), array, raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return path


def described(config: Any) -> dict[str, Any]:
    """What a reader says of a file of a model of any size, without making the model."""
    w = gguf.GGUFWriter("none", label(config))
    write_metadata(w, SimpleNamespace(config=config), old=False)
    raw = {key: field.value for key, field in w.kv_data[0].items()}
    shapes = {f"tensor:{name}": shape for name, shape in _present(config) if shape}
    raw |= shapes
    for name, numbers in tables(config):
        raw |= {f"tensor:{name}": (len(numbers),), f"values:{name}": list(numbers)}
    return raw


def _present(c: Any) -> Iterator[tuple[str, Any]]:
    """Tensors by which a reader knows something, with their shape if the file has them."""
    yield "token_embd.weight", (c.vocab_size, c.hidden_size)
    yield "output.weight", not c.tie_word_embeddings and (c.vocab_size, c.hidden_size)
    yield "blk.0.ffn_norm.weight", not getattr(c, "use_parallel_residual", False) and (1,)
    yield "blk.0.ffn_down.bias", getattr(c, "mlp_bias", False) and (1,)
    biases = ("attention_bias", "use_qkv_bias", "use_bias", "qkv_bias")
    biased = c.model_type == "qwen2" or any(getattr(c, key, False) for key in biases)
    convolved = getattr(c, "mamba_conv_bias", getattr(c, "use_conv_bias", False))
    for i in range(c.num_hidden_layers):
        yield f"blk.{i}.attn_q.bias", biased and c.model_type != "nemotron_h" and (1,)
        yield f"blk.{i}.ssm_conv1d.bias", convolved and (1,)
    if c.model_type == "granitemoehybrid":
        yield "blk.0.ffn_up.weight", (c.shared_intermediate_size, c.hidden_size)
    if c.model_type == "gemma4_text":
        yield "per_layer_token_embd.weight", (c.vocab_size_per_layer_input, 1)
        for i, kind in enumerate(c.layer_types):
            same = c.attention_k_eq_v and kind == "full_attention"
            yield f"blk.{i}.attn_v.weight", not same and (1,)
