"""What an export costs: CPU seconds, wall seconds and peak memory, beside ExecuTorch's export_llm.

python benchmarks/export_cost.py                     SmolLM2's shape, 30 layers, three rounds
python benchmarks/export_cost.py --layers 2 8 16 30 --rounds 1
                                                     what a further layer costs, too

Both tools are given the same random weights, as a Hugging Face folder and as Meta's checkpoint,
and lower them for XNNPACK with dynamic shapes, 8da4w in groups of 32, a 4-bit embedding and the
fused attention. They take turns, each run in a process of its own. Verification is off, since
export_llm has none; --verify switches ours on.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
CONTEXT, GROUP = 1024, 32
SHAPE = {
    "vocab_size": 49152, "hidden_size": 576, "num_attention_heads": 9, "num_key_value_heads": 3,
    "head_dim": 64, "intermediate_size": 1536, "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5, "rope_theta": 100000.0,
}  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """Of one process: CPU seconds with its children's, wall seconds, bytes."""

    cpu: float
    wall: float
    peak: int
    size: int


def write_weights(folder: Path, layers: int) -> None:
    """The same random model as a Hugging Face folder and as Meta's two files."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    dim, hidden, head = SHAPE["hidden_size"], SHAPE["intermediate_size"], SHAPE["head_dim"]
    heads, kv_heads = SHAPE["num_attention_heads"], SHAPE["num_key_value_heads"]
    shapes = {
        "attention.wq": ("self_attn.q_proj", (heads * head, dim)),
        "attention.wk": ("self_attn.k_proj", (kv_heads * head, dim)),
        "attention.wv": ("self_attn.v_proj", (kv_heads * head, dim)),
        "attention.wo": ("self_attn.o_proj", (dim, heads * head)),
        "feed_forward.w1": ("mlp.gate_proj", (hidden, dim)),
        "feed_forward.w2": ("mlp.down_proj", (dim, hidden)),
        "feed_forward.w3": ("mlp.up_proj", (hidden, dim)),
        "attention_norm": ("input_layernorm", (dim,)),
        "ffn_norm": ("post_attention_layernorm", (dim,)),
    }
    table = torch.randn(SHAPE["vocab_size"], dim) * 0.02
    theirs = {"tok_embeddings.weight": table, "output.weight": table, "norm.weight": ones(dim)}
    ours = {"model.embed_tokens.weight": table, "model.norm.weight": ones(dim)}
    for layer in range(layers):
        for meta, (hf, shape) in shapes.items():
            tensor = torch.randn(shape) * 0.02 if len(shape) > 1 else ones(dim)
            theirs[f"layers.{layer}.{meta}.weight"] = tensor
            ours[f"model.layers.{layer}.{hf}.weight"] = tensor
    torch.save(theirs, folder / "model.pth")
    save_file(ours, folder / "model.safetensors")
    params = {
        "dim": dim, "hidden_dim": hidden, "n_heads": heads, "n_kv_heads": kv_heads,
        "n_layers": layers, "norm_eps": SHAPE["rms_norm_eps"], "rope_theta": SHAPE["rope_theta"],
        "use_scaled_rope": False, "vocab_size": SHAPE["vocab_size"], "use_hf_rope": True,
        "attention_qkv_bias": False, "head_dim": head, "multiple_of": 1,
    }  # fmt: skip
    (folder / "params.json").write_text(json.dumps(params), encoding="utf-8")
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", **SHAPE,
        "num_hidden_layers": layers, "hidden_act": "silu", "tie_word_embeddings": True,
        "attention_bias": False, "mlp_bias": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def ones(size: Any) -> Any:
    import torch

    return torch.ones(size)


def our_command(folder: Path, layers: int, args: argparse.Namespace) -> list[str]:
    return [
        sys.executable, "-m", "llm_export", "run", "--no-cache", "model=smollm2_135m",
        f"model.config.num_hidden_layers={layers}", "checkpoint.package=null",
        f"checkpoint.path={folder}/model.safetensors", f"checkpoint.config={folder}/config.json",
        "backend=xnnpack", "quant=8da4w", f"runtime.context_length={CONTEXT}",
        f"verify={'on' if args.verify else 'off'}", "benchmark=off", f"out={folder}/ours",
        *args.set,
    ]  # fmt: skip


def their_command(folder: Path) -> list[str]:
    return [
        sys.executable, "-m", "executorch.extension.llm.export.export_llm",
        "base.model_class=llama2", f"base.params={folder}/params.json",
        f"base.checkpoint={folder}/model.pth", "model.use_kv_cache=True",
        "model.use_sdpa_with_kv_cache=True", "backend.xnnpack.enabled=True",
        "backend.xnnpack.extended_ops=True", "quantization.qmode=8da4w",
        f"quantization.group_size={GROUP}", f"quantization.embedding_quantize='4,{GROUP}'",
        f"export.max_seq_length={CONTEXT}", f"export.max_context_length={CONTEXT}",
        f"export.output_name={folder}/theirs.pte",
    ]  # fmt: skip


def run(command: list[str], folder: Path, product: Path) -> Cost:
    """Raises SystemExit if the command fails, with the end of what it said."""
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    log = folder / "log.txt"
    start = time.perf_counter()
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}\n{log.read_text(encoding='utf-8')[-3000:]}")
    size = product.stat().st_size
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1024, size)


def compare(layers: int, args: argparse.Namespace) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {"llm_export": [], "export_llm": []}
    for number in range(args.rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            writer = [sys.executable, __file__, "--write", name, "--layers", str(layers)]
            subprocess.run(writer, check=True)
            ours = run(our_command(folder, layers, args), folder, folder / "ours" / "model.pte")
            theirs = run(their_command(folder), folder, folder / "theirs.pte")
        costs["llm_export"].append(ours)
        costs["export_llm"].append(theirs)
        print(
            f"{layers} layers, round {number + 1}: {ours.cpu:.1f} and {theirs.cpu:.1f} CPU s",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    return costs


def table(results: dict[int, dict[str, list[Cost]]]) -> str:
    """Markdown: medians, the ratio of each round, and what a further layer costs."""
    lines = [
        "| layers | tool | CPU s | wall s | peak RSS, MB | .pte, MB | CPU ratio (spread) |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for layers, costs in results.items():
        ours, theirs = costs["llm_export"], costs["export_llm"]
        ratios = [b.cpu / a.cpu for a, b in zip(ours, theirs, strict=True)]
        spread = f"{statistics.median(ratios):.1f} ({min(ratios):.1f}-{max(ratios):.1f})"
        for tool, found in costs.items():
            cpu, wall = (statistics.median(getattr(c, f) for c in found) for f in ("cpu", "wall"))
            peak, size = (max(getattr(c, f) for c in found) for f in ("peak", "size"))
            lines.append(
                f"| {layers} | {tool} | {cpu:.1f} | {wall:.1f} | {peak / 1e6:.0f} |"
                f" {size / 1e6:.1f} | {spread if tool == 'llm_export' else ''} |"
            )
    depths = sorted(results)
    for low, high in zip(depths, depths[1:], strict=False):
        growth = {
            tool: (
                statistics.median(c.cpu for c in results[high][tool])
                - statistics.median(c.cpu for c in results[low][tool])
            )
            / (high - low)
            for tool in ("llm_export", "export_llm")
        }
        lines.append(
            f"\nA further layer between {low} and {high}: {growth['llm_export']:.2f} CPU s"
            f" with llm_export, {growth['export_llm']:.2f} with export_llm."
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, nargs="+", default=[30])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--verify", action="store_true", help="prove our .pte, too")
    parser.add_argument("--set", nargs="*", default=[], help="overrides of our recipe")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.write:
        write_weights(args.write, args.layers[0])
        return
    print(table({layers: compare(layers, args) for layers in args.layers}))


if __name__ == "__main__":
    main()
