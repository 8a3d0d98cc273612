"""What an export costs: CPU seconds, wall seconds and peak memory, beside ExecuTorch's export_llm.

python benchmarks/export_cost.py                     SmolLM2-135M, three rounds
python benchmarks/export_cost.py --layers 2 8 16 30 --rounds 1
                                                     what a further layer costs, too

Both tools are given the same weights, as a Hugging Face folder and as Meta's checkpoint, and
lower them for XNNPACK with dynamic shapes, 8da4w in groups of 32, an 8-bit embedding and the
fused attention. They take turns, each run in a process of its own. Verification is off, since
export_llm has none; --verify switches ours on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
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


@dataclass(frozen=True)
class Cost:
    """Of one process: CPU seconds with its children's, wall seconds, bytes."""

    cpu: float
    wall: float
    peak: int
    size: int


def write_weights(folder: Path, layers: int) -> None:
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
    """As export_llm reads them; the matrices stay in Hugging Face's order of rotation."""
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


def our_command(folder: Path, args: argparse.Namespace) -> list[str]:
    return [
        sys.executable, "-m", "llm_export", "run", "model=auto", f"checkpoint.path={folder}/hf",
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
        f"quantization.group_size={GROUP}", "quantization.embedding_quantize='8,0'",
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
    peak = max(usage.ru_maxrss * 1024, _recorded_peak(product.with_name("run.json")))
    return Cost(usage.ru_utime + usage.ru_stime, wall, peak, size)


def _recorded_peak(record: Path) -> int:
    """Of our own run, which sets the kernel's high-water mark back before each stage."""
    if not record.is_file():
        return 0
    stages = json.loads(record.read_text(encoding="utf-8"))["stages"]
    return max(stage["peak_bytes"] for stage in stages)


def compare(layers: int, args: argparse.Namespace) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {"llm_export": [], "export_llm": []}
    for number in range(args.rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            writer = [sys.executable, __file__, "--write", name, "--layers", str(layers)]
            subprocess.run(writer, check=True)
            ours = run(our_command(folder, args), folder, folder / "ours" / "model.pte")
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
    for low, high in itertools.pairwise(depths):
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
