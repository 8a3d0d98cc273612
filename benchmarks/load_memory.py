"""Peak memory of loading by checkpoint format, relative to the size of the float32 model.

python benchmarks/load_memory.py                       all formats, with a model of 600 MB
python benchmarks/load_memory.py --megabytes 200 --formats gguf_q8_0 bin_bf16
python benchmarks/load_memory.py --tier hf             through transformers

One process writes each format and another loads it. The ratio is (peak resident memory - resident
memory after imports) / (bytes of the model's parameters in float32). Linux only: the peak is read
from /proc.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
BOUND = 1.3


def facts(megabytes: int) -> dict[str, Any]:
    """A Llama config of about this many MB in float32, a fifth of them in a tied embedding."""
    layers = 12
    # Parameters in units of hidden size squared: 13 per layer, and 40 for the embedding.
    per_square = 4 * (13 * layers + 40)
    hidden = 64 * max(2, round((megabytes * 1e6 / per_square) ** 0.5 / 64))
    return {
        "model_type": "llama", "hidden_size": hidden, "num_hidden_layers": layers,
        "num_attention_heads": hidden // 64, "num_key_value_heads": hidden // 64, "head_dim": 64,
        "intermediate_size": 3 * hidden, "vocab_size": 40 * hidden, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 512, "rope_theta": 10000.0, "hidden_act": "silu",
        "tie_word_embeddings": True,
    }  # fmt: skip


def weights(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Hugging Face name -> random float32 tensor."""
    import torch

    d, f, v = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    generator = torch.Generator().manual_seed(0)

    def matrix(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.02

    for i in range(config["num_hidden_layers"]):
        at = f"model.layers.{i}."
        for name in ("q", "k", "v", "o"):
            yield f"{at}self_attn.{name}_proj.weight", matrix(d, d)
        yield f"{at}mlp.gate_proj.weight", matrix(f, d)
        yield f"{at}mlp.up_proj.weight", matrix(f, d)
        yield f"{at}mlp.down_proj.weight", matrix(d, f)
        for norm in ("input", "post_attention"):
            yield f"{at}{norm}_layernorm.weight", torch.ones(d)
    yield "model.norm.weight", torch.ones(d)
    # Last, when everything else is in memory: the worst position for the largest tensor.
    yield "model.embed_tokens.weight", matrix(v, d)


# -- writers: (folder, config) -> checkpoint keys --------------------------------------------

Written = dict[str, str]


def _hf(folder: Path, config: dict[str, Any]) -> Written:
    (folder / "config.json").write_text(json.dumps(config))
    return {"path": str(folder)}


def safetensors(dtype: str, shards: int = 1) -> Callable[[Path, dict[str, Any]], Written]:
    def write(folder: Path, config: dict[str, Any]) -> Written:
        import torch
        from safetensors.torch import save_file

        state = {n: t.to(getattr(torch, dtype)) for n, t in weights(config)}
        table = {}
        for i in range(shards):
            file = f"model-{i:05d}.safetensors" if shards > 1 else "model.safetensors"
            part = {n: state[n] for n in list(state)[i::shards]}
            save_file(part, folder / file)
            table |= dict.fromkeys(part, file)
        if shards > 1:
            index = folder / "model.safetensors.index.json"
            index.write_text(json.dumps({"weight_map": table}))
        return _hf(folder, config)

    return write


def torch_bin(dtype: str) -> Callable[[Path, dict[str, Any]], Written]:
    def write(folder: Path, config: dict[str, Any]) -> Written:
        import torch

        state = {n: t.to(getattr(torch, dtype)) for n, t in weights(config)}
        torch.save(state, folder / "pytorch_model.bin")
        return _hf(folder, config)

    return write


def meta(ranks: int) -> Callable[[Path, dict[str, Any]], Written]:
    """Meta's names and shards; the order of query rows does not matter here."""

    def write(folder: Path, config: dict[str, Any]) -> Written:
        import torch

        from llm_export.models.families.llama import HF_KEYS, META_KEYS

        dims = {"wo": 1, "w2": 1, "attention_norm": None, "ffn_norm": None, "norm": None}
        parts: list[dict[str, Any]] = [{} for _ in range(ranks)]
        for name, tensor in weights(config):
            target = META_KEYS.to_checkpoint(HF_KEYS.to_model(name) or "") or ""
            dim = dims.get(target.split(".")[-2], 0)
            for part, piece in zip(
                parts, [tensor] * ranks if dim is None else tensor.chunk(ranks, dim), strict=True
            ):
                part[target] = piece.bfloat16().clone()
        for rank, part in enumerate(parts):
            torch.save(part, folder / f"consolidated.{rank:02d}.pth")
        params = {
            "dim": config["hidden_size"], "n_layers": config["num_hidden_layers"],
            "n_heads": config["num_attention_heads"], "norm_eps": 1e-5, "multiple_of": 64,
            "hidden_dim": config["intermediate_size"], "vocab_size": config["vocab_size"],
        }  # fmt: skip
        (folder / "params.json").write_text(json.dumps(params))
        return {"path": str(folder)}

    return write


def gguf(kind: str) -> Callable[[Path, dict[str, Any]], Written]:
    def write(folder: Path, config: dict[str, Any]) -> Written:
        import gguf

        from llm_export.models.families.llama import GGUF_KEYS, HF_KEYS

        writer = gguf.GGUFWriter(folder / "m.gguf", "llama")
        writer.add_block_count(config["num_hidden_layers"])
        writer.add_context_length(config["max_position_embeddings"])
        writer.add_embedding_length(config["hidden_size"])
        writer.add_feed_forward_length(config["intermediate_size"])
        writer.add_head_count(config["num_attention_heads"])
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
        # A vocabulary of the usual size, because parsing it takes memory too.
        writer.add_token_list([f"token{i}" for i in range(config["vocab_size"])])
        for name, tensor in weights(config):
            target = GGUF_KEYS.to_checkpoint(HF_KEYS.to_model(name) or "") or ""
            block = gguf.GGMLQuantizationType[kind if tensor.dim() == 2 else "F32"]
            array = gguf.quants.quantize(tensor.numpy(), block)
            writer.add_tensor(target, array, raw_dtype=block)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return {"path": str(folder / "m.gguf")}

    return write


def torchao_int8(folder: Path, config: dict[str, Any]) -> Written:
    import torch
    from safetensors.torch import save_file
    from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    state = {}
    for name, tensor in weights(config):
        if tensor.dim() == 2 and "embed" not in name:
            linear = torch.nn.Linear(1, 1, bias=False)
            linear.weight = torch.nn.Parameter(tensor.bfloat16())
            quantize_(linear, Int8WeightOnlyConfig())
            tensor = linear.weight.data
        state[name] = tensor
    flat, metadata = flatten_tensor_state_dict(state)
    save_file(flat, folder / "model.safetensors", metadata)
    return _hf(folder, config)


def fp8_blocks(folder: Path, config: dict[str, Any]) -> Written:
    """Linear weights of the layers in float8 with a scale per 128 x 128 block."""
    import torch
    from safetensors.torch import save_file

    state = {}
    for name, tensor in weights(config):
        if "proj" in name:
            state[f"{name}_scale_inv"] = torch.ones([-(-n // 128) for n in tensor.shape])
            tensor = tensor.to(torch.float8_e4m3fn)
        state[name] = tensor
    save_file(state, folder / "model.safetensors")
    method = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    return _hf(folder, {**config, "quantization_config": method})


def lora(folder: Path, config: dict[str, Any]) -> Written:
    """bfloat16 with an adapter of rank 64 on every linear of the layers."""
    import torch
    from safetensors.torch import save_file

    base, adapter = folder / "base", folder / "adapter"
    base.mkdir()
    adapter.mkdir()
    written = safetensors("bfloat16")(base, config)
    factors = {}
    for name, tensor in weights(config):
        if "proj" in name:
            at = "base_model.model." + name.removesuffix(".weight")
            factors[f"{at}.lora_A.weight"] = torch.randn(64, tensor.shape[1])
            factors[f"{at}.lora_B.weight"] = torch.randn(tensor.shape[0], 64)
    save_file(factors, adapter / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 64, "lora_alpha": 64}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    return {**written, "adapter": str(adapter)}


def experts(folder: Path, config: dict[str, Any]) -> Written:
    """Mixtral in bfloat16: eight experts make up each MLP, and transformers stacks them."""
    import torch
    from safetensors.torch import save_file

    count, state = 8, {}
    names = {"gate_proj": ("w1", 0), "up_proj": ("w3", 0), "down_proj": ("w2", 1)}
    for name, tensor in weights(config):
        at, _, rest = name.partition("mlp.")
        if not rest:
            state[name] = tensor.bfloat16()
            continue
        leaf, dim = names[rest.removesuffix(".weight")]
        for i, piece in enumerate(tensor.chunk(count, dim)):
            key = f"{at}block_sparse_moe.experts.{i}.{leaf}.weight"
            state[key] = piece.bfloat16().contiguous()
        state[f"{at}block_sparse_moe.gate.weight"] = torch.zeros(count, tensor.shape[1 - dim])
    save_file(state, folder / "model.safetensors")
    mixtral = {
        "model_type": "mixtral", "num_local_experts": count, "num_experts_per_tok": 2,
        "intermediate_size": config["intermediate_size"] // count, "sliding_window": None,
    }  # fmt: skip
    return _hf(folder, config | mixtral)


def gpt2(folder: Path, config: dict[str, Any]) -> Written:
    """GPT-2 in float32, whose linear weights are stored transposed."""
    import torch
    from safetensors.torch import save_file

    d, v = config["hidden_size"], config["vocab_size"]
    layers = config["num_hidden_layers"]
    shapes: dict[str, tuple[int, ...]] = {"wte.weight": (v, d), "wpe.weight": (512, d)}
    for i in range(layers):
        shapes |= {
            f"h.{i}.attn.c_attn.weight": (d, 3 * d), f"h.{i}.attn.c_attn.bias": (3 * d,),
            f"h.{i}.attn.c_proj.weight": (d, d), f"h.{i}.attn.c_proj.bias": (d,),
            f"h.{i}.mlp.c_fc.weight": (d, 4 * d), f"h.{i}.mlp.c_fc.bias": (4 * d,),
            f"h.{i}.mlp.c_proj.weight": (4 * d, d), f"h.{i}.mlp.c_proj.bias": (d,),
        }  # fmt: skip
    for norm in [f"h.{i}.ln_{j}" for i in range(layers) for j in (1, 2)] + ["ln_f"]:
        shapes |= {f"{norm}.weight": (d,), f"{norm}.bias": (d,)}
    state = {f"transformer.{n}": torch.full(s, 0.01) for n, s in shapes.items()}
    save_file(state, folder / "model.safetensors")
    return _hf(folder, {
        "model_type": "gpt2", "vocab_size": v, "n_embd": d, "n_layer": layers,
        "n_head": config["num_attention_heads"], "n_positions": 512,
    })  # fmt: skip


FORMATS: dict[str, Callable[[Path, dict[str, Any]], Written]] = {
    "safetensors_bf16": safetensors("bfloat16"),
    "safetensors_f32": safetensors("float32"),
    "safetensors_bf16_sharded": safetensors("bfloat16", shards=4),
    "bin_bf16": torch_bin("bfloat16"),
    "bin_f32": torch_bin("float32"),
    "meta_1": meta(1),
    "meta_4": meta(4),
    "gguf_f16": gguf("F16"),
    "gguf_q8_0": gguf("Q8_0"),
    "gguf_q4_1": gguf("Q4_1"),
    "torchao_int8": torchao_int8,
    "fp8_blocks": fp8_blocks,
    "lora_bf16": lora,
    "experts_bf16": experts,
    "gpt2_f32": gpt2,
}
TIERS = {
    "composable": [name for name in FORMATS if name != "gpt2_f32"],
    "hf": [name for name in FORMATS if not name.startswith(("meta", "gguf"))],
}
"""Model definition -> the formats that it loads."""


# -- measuring -----------------------------------------------------------------------------


def status(key: str) -> int:
    """A line of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {key}")


def measure(source: Written, tier: str) -> dict[str, float]:
    """Load once in this process, after all imports; bytes and seconds."""
    import gguf  # noqa: F401

    from llm_export import api
    from llm_export.checkpoints.torchao import fits
    from llm_export.config.schema import CheckpointConfig
    from llm_export.models.detect import detect_model
    from llm_export.models.load_model import load_model

    def load(checkpoint: CheckpointConfig) -> Any:
        recipe.checkpoint, recipe.model = checkpoint, detect_model(checkpoint, 128, tier)
        return load_model(recipe, attention="plain", context_length=128, all_logits=False)

    if fits(Path(source["path"])):
        import torchao.prototype.safetensors.safetensors_utils  # noqa: F401

    recipe = api.compose_recipe(None, ["model=tiny"]).recipe
    # A small load first: code that is imported on first use is not part of the checkpoint's cost.
    load_model(recipe, attention="plain", context_length=128, all_logits=False)
    if tier == "hf":
        with tempfile.TemporaryDirectory() as folder:
            load(CheckpointConfig(**FORMATS["gpt2_f32"](Path(folder), facts(1))))
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    before, start = status("VmRSS"), time.monotonic()
    loaded = load(CheckpointConfig(**source))
    seconds, peak = time.monotonic() - start, status("VmHWM") - before
    model = sum(p.numel() * 4 for p in loaded.model.parameters())
    return {"model": model, "peak": peak, "ratio": peak / model, "seconds": seconds}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=600, help="size of the model in float32")
    parser.add_argument("--formats", nargs="*", choices=list(FORMATS), help="default: all")
    parser.add_argument("--tier", default="composable", choices=list(TIERS))
    parser.add_argument("--json", action="store_true", help="print one JSON line per format")
    parser.add_argument("--write", nargs=2, metavar=("FORMAT", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--measure", metavar="SOURCE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(REPO))
    if options.write:
        name, folder = options.write
        print(json.dumps(FORMATS[name](Path(folder), facts(options.megabytes))))
        return 0
    if options.measure:
        print(json.dumps(measure(json.loads(options.measure), options.tier)))
        return 0
    formats = options.formats or TIERS[options.tier]
    return compare(formats, options.tier, options.megabytes, options.json)


def compare(formats: list[str], tier: str, megabytes: int, as_json: bool) -> int:
    """Print a line per format; returns 1 if one exceeds the bound."""
    worst = 0.0
    if not as_json:
        print(f"{'format':<26}{'on disk':>10}{'model':>10}{'peak':>10}{'ratio':>8}{'seconds':>9}")
    for name in formats:
        with tempfile.TemporaryDirectory() as folder:
            written = _child("--write", name, folder, "--megabytes", str(megabytes))
            disk = sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file())
            result = json.loads(_child("--measure", written, "--tier", tier))
        worst = max(worst, result["ratio"])
        if as_json:
            print(json.dumps({"format": name, "disk": disk, **result}), flush=True)
            continue
        sizes = "".join(f"{n / 1e6:>7.0f} MB" for n in (disk, result["model"], result["peak"]))
        print(f"{name:<26}{sizes}{result['ratio']:>8.2f}{result['seconds']:>9.1f}", flush=True)
    return int(worst > BOUND)


def _child(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, __file__, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())
