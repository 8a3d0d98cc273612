"""A small Llama as a folder of each kind, without transformers, and ways to damage it."""

from __future__ import annotations

import copy
import json
import math
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from vocabularies import sentencepiece_model

from llm_export.checkpoints.random import BOS, CHAT_TEMPLATE, EOS, RandomCheckpoint
from llm_export.models.build import build_on_meta
from llm_export.models.families.llama import FAMILY, GGUF_KEYS

CONFIG: dict[str, Any] = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 320,
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "head_dim": 8, "intermediate_size": 16, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0, "rope_scaling": None, "hidden_act": "silu", "attention_bias": False,
    "tie_word_embeddings": False, "mlp_bias": False, "torch_dtype": "float32",
}  # fmt: skip
KINDS = ("safetensors", "shards", "torch", "gguf", "adapter", "sentencepiece")


def _tensors(config: dict[str, Any]) -> dict[str, torch.Tensor]:
    model = build_on_meta(FAMILY.read(config), 32, "plain", False)
    keys = FAMILY.keys["hf"]
    generator = torch.Generator().manual_seed(0)
    return {
        str(keys.to_checkpoint(name)): torch.randn(p.shape, generator=generator)
        for name, p in model.named_parameters()
    }


def write(kind: str, folder: Path) -> Path:
    """The checkpoint of a kind in a new folder."""
    folder.mkdir(parents=True)
    config = {**CONFIG, "vocab_size": 384} if kind == "sentencepiece" else CONFIG
    tensors = _tensors(config)
    tokenizer = RandomCheckpoint(0, {"embed.weight": (320, 8)}).tokenizer().tokenizer_json
    if kind == "gguf":
        _write_gguf(folder / "model.gguf", tensors, json.loads(tokenizer))
        return folder
    _write(folder / "config.json", config)
    (folder / "tokenizer.json").write_text(tokenizer)
    settings = {"bos_token": BOS, "eos_token": EOS, "chat_template": CHAT_TEMPLATE}
    _write(folder / "tokenizer_config.json", settings)
    _write(folder / "generation_config.json", {"eos_token_id": [319], "temperature": 0.5})
    if kind == "sentencepiece":
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").unlink()
        sentencepiece_model(folder / "tokenizer.model", vocab_size=380)
    if kind == "torch":
        torch.save(tensors, folder / "pytorch_model.bin")
    elif kind == "shards":
        names = sorted(tensors)
        parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
        for file, held in parts.items():
            save_file({n: tensors[n] for n in held}, folder / file, {"format": "pt"})
        table = {name: file for file, held in parts.items() for name in held}
        _write(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": table})
    else:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    if kind == "adapter":
        _write_adapter(folder / "adapter")
    return folder


def _write_adapter(folder: Path) -> None:
    folder.mkdir()
    prefix = "base_model.model.model.layers.0.self_attn.q_proj.lora"
    factors = {f"{prefix}_A.weight": torch.ones(4, 16), f"{prefix}_B.weight": torch.ones(16, 4)}
    save_file(factors, folder / "adapter_model.safetensors")
    _write(folder / "adapter_config.json", {
        "peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"],
        "rank_pattern": {"q_proj": 4}, "alpha_pattern": {"q_.*": 8}, "use_rslora": False,
        "base_model_name_or_path": "x", "modules_to_save": None,
    })  # fmt: skip


def _write_gguf(path: Path, tensors: dict[str, torch.Tensor], assets: dict[str, Any]) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(128)
    writer.add_embedding_length(16)
    writer.add_feed_forward_length(16)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_key_length(8)
    writer.add_value_length(8)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    vocab = {**assets["model"]["vocab"], **{t["content"]: t["id"] for t in assets["added_tokens"]}}
    tokens = sorted(vocab, key=vocab.__getitem__)
    tokens[300] = "ab"
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if t.startswith("<|") else 1 for t in tokens])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(318)
    writer.add_eos_token_id(319)
    for name, tensor in tensors.items():
        target = GGUF_KEYS.to_checkpoint(FAMILY.keys["hf"].to_model(name) or "")
        writer.add_tensor(str(target), np.ascontiguousarray(tensor.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


# -- damage --------------------------------------------------------------------------------

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 2**31, 2**63, -(2**63), 10**6, 10**30, 10**39, 0.5, -0.0,
    1e308, math.nan, math.inf, -math.inf, "", "a", "x" * 5000, "1", "\x00", "\x1b[2J\n", "\ud800",
    "../../../etc/passwd", "/dev/zero", "${oc.env:HOME}", "{{ ''.__class__ }}", "([a-z]+)+[X]",
    [], {}, [None], [[]], ["a"], [1] * 300, {"": {}}, {"type": "x"}, {"__type": "AddedToken"},
    [{"id": -1}], "[" * 400,
)  # fmt: skip
_LENGTHS = (0, 1, 0xFF, 0xFFFF, 1 << 31, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


def bytes_changed(data: bytes, rng: random.Random, head: int = 4096) -> bytes:
    """Flipped, cut, zeroed or doubled bytes, or a claim of another length; mostly in the head."""
    if not data:
        return b"\0"
    out = bytearray(data)
    span = len(out) if rng.random() < 0.2 else min(head, len(out))
    at = rng.randrange(span)
    match rng.randrange(6):
        case 0:
            for _ in range(rng.choice((1, 1, 4, 40))):
                out[rng.randrange(span)] = rng.randrange(256)
        case 1:
            del out[at:]
        case 2:
            del out[at : at + rng.choice((1, 8, 100))]
        case 3:
            out[at:at] = out[at : at + rng.choice((1, 8, 300))]
        case 4:
            out[at : at + 8] = struct.pack("<Q", rng.choice(_LENGTHS))
        case _:
            out[at : at + 64] = bytes(len(out[at : at + 64]))
    return bytes(out)


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every value; of long lists the first few."""
    entries = node.items() if isinstance(node, dict) else enumerate(node[:20])
    for key, value in list(entries)[:60]:
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)


def json_changed(value: Any, rng: random.Random) -> Any:
    """One to three values replaced, removed or added."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_places(value)) if isinstance(value, dict | list) else []
        if not places:
            return rng.choice(HOSTILE)
        node, key = rng.choice(places)
        action = rng.random()
        if action < 0.75:
            node[key] = rng.choice(HOSTILE)
        elif action < 0.85:
            node.pop(key)
        elif isinstance(node, dict):
            node[rng.choice(("x", "", "\x1b", "rope_scaling", "quantization_config"))] = rng.choice(
                HOSTILE
            )
    return value


def damaged(file: Path, rng: random.Random) -> bytes:
    """The content of a file of ``write``, damaged in a way that its format invites."""
    data = file.read_bytes()
    if file.suffix == ".json" and rng.random() < 0.85:
        text = json.dumps(json_changed(json.loads(data), rng))
        if rng.random() < 0.05:
            text = text.replace(": 2", ": " + "9" * 5000, 1)
        if rng.random() < 0.05:
            text = text.replace(":", ":" + "[" * 5000, 1)
        return text.encode()
    if file.suffix == ".safetensors" and rng.random() < 0.5:
        length = int.from_bytes(data[:8], "little")
        header = json.dumps(json_changed(json.loads(data[8 : 8 + length]), rng)).encode()
        return len(header).to_bytes(8, "little") + header + data[8 + length :]
    return bytes_changed(data, rng)
