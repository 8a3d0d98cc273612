"""Convert any supported checkpoint to a Hugging Face folder.

llm-export convert model.gguf FOLDER
llm-export convert META_FOLDER FOLDER --dtype bf16
llm-export convert BASE FOLDER --adapter LORA_FOLDER       with the adapter merged
"""

from __future__ import annotations

import argparse
from pathlib import Path

from llm_export import api


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT",
                        help="a file, a folder, or ORG/NAME on the Hugging Face hub")  # fmt: skip
    parser.add_argument("out", metavar="FOLDER", help="where to write; must not exist")
    parser.add_argument("--dtype", choices=("f32", "bf16", "f16"),
                        help="store floats so; default: as the checkpoint has them")  # fmt: skip
    parser.add_argument("--revision", help="branch, tag or commit of ORG/NAME")
    parser.add_argument("--adapter", metavar="FOLDER", help="a LoRA adapter to merge")
    parser.add_argument("--config", metavar="FILE", help="config.json or params.json to use")
    parser.add_argument("--max-positions", type=int, default=8192, metavar="N",
                        help="longest text of the model; Meta's format lacks it")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.progress import Progress

    out, console = Path(options.out), Console(stderr=True)
    # Where there is no terminal, an empty line would be all of it.
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("converting", total=None)
        done = api.convert(
            options.checkpoint, out, dtype=options.dtype, max_positions=options.max_positions,
            revision=options.revision, adapter=options.adapter, config=options.config,
            progress=lambda n, total: bar.update(task, completed=n, total=total),
        )  # fmt: skip
    tokenizer = "with its tokenizer" if done.tokenizer else "without a tokenizer: it has none"
    print(f"{out}: {done.tensors} tensors, {done.bytes / 1e6:.1f} MB, {tokenizer}")
