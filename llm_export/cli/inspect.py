"""Show a checkpoint's contents and whether a model can be built from it; only headers are read.

llm-export inspect FOLDER_OR_FILE
llm-export inspect HuggingFaceTB/SmolLM2-135M-Instruct     fetched into the hub's cache first
llm-export inspect BASE --adapter LORA_FOLDER --tensors
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from llm_export import api
from llm_export.cli.layout import beside
from llm_export.cli.runtime_args import printable
from llm_export.cli.waiting import waiting

if TYPE_CHECKING:
    from llm_export.models.inventory import Inventory, TensorRow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT",
                        help="a file, a folder, or ORG/NAME on the Hugging Face hub")  # fmt: skip
    parser.add_argument("--revision", help="branch, tag or commit of ORG/NAME")
    parser.add_argument("--adapter", metavar="FOLDER", help="a LoRA adapter to merge")
    parser.add_argument("--config", metavar="FILE", help="config.json or params.json to use")
    parser.add_argument("--tensors", action="store_true", help="list each tensor, not by layers")
    parser.add_argument("--json", action="store_true", help="print JSON, with every tensor")


def run(options: argparse.Namespace) -> None:
    with waiting(f"reading {printable(options.checkpoint)}"):
        inventory = api.inspect(
            options.checkpoint, revision=options.revision, adapter=options.adapter,
            config=options.config,
        )  # fmt: skip
        following = [] if options.json else api.next_step(
            options.checkpoint, inventory, revision=options.revision, adapter=options.adapter,
            config=options.config,
        )  # fmt: skip
    if options.json:
        print(json.dumps(asdict(inventory), indent=2))
        return
    rows = facts(inventory)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print("\n".join(beside(name, printable(value), width + 1)))
    for name, value in following:
        print(f"{name:<{width}}  {printable(value)}")
    print()
    for line in tensor_lines(inventory, each=options.tensors):
        print(printable(line))


def facts(inventory: Inventory) -> list[tuple[str, str]]:
    """Name and value of each line above the tensors."""
    count = f"{inventory.files} file" + ("" if inventory.files == 1 else "s")
    rows = [
        ("checkpoint", inventory.source),
        ("format", f"{inventory.format}, {count}, {inventory.bytes / 1e6:.1f} MB"),
        ("architecture", inventory.architecture or "not said"),
        ("parameters", f"{inventory.parameters / 1e6:.1f} M"),
        ("dtypes", ", ".join(f"{kind} ({n})" for kind, n in inventory.dtypes.items())),
    ]
    if inventory.tied is not None:
        rows.append(("embeddings", "tied" if inventory.tied else "not tied"))
    rows += _tokenizer(inventory)
    rows += [("remark", line) for line in inventory.remarks]
    if inventory.generic is not None:
        rows.append(("tier", f"generic (transformers): {inventory.generic}"))
        return rows
    if inventory.refusal is not None:
        first, *rest = inventory.refusal.splitlines()
        rows.append(("fast tier", f"none: {first}"))
        rows += [("", line.strip()) for line in rest]
        return rows
    rows.append(("fast tier", f"family {inventory.family}"))
    counts = [f"{n} {word}" for word, n in _verdict(inventory) if n]
    rows.append(("tensors", ", ".join(counts)))
    return rows


def _tokenizer(inventory: Inventory) -> list[tuple[str, str]]:
    tokenizer = inventory.tokenizer
    if tokenizer.problem is not None:
        return [("tokenizer", f"none: {tokenizer.problem}")]
    return [
        ("tokenizer", f"{tokenizer.kind}, {tokenizer.vocab_size} tokens"),
        ("chat template", "yes" if tokenizer.chat_template else "no"),
    ]


def _verdict(inventory: Inventory) -> list[tuple[str, int]]:
    words = [row.status for row in inventory.tensors]
    found = [(word, words.count(word)) for word in ("used", "tied", "ignored", "unknown")]
    misfits = sum(row.misfit is not None for row in inventory.tensors)
    return [*found, ("of another shape", misfits), ("missing", len(inventory.missing))]


def tensor_lines(inventory: Inventory, *, each: bool) -> list[str]:
    """One line for each tensor, or for each group of equal layers, then what is missing."""
    from llm_export.models.tensor_groups import group_layers

    if each:
        named = [(row.name, 1, row) for row in inventory.tensors]
    else:
        named = [(g.name, g.count, g.row) for g in group_layers(inventory.tensors)]
    table = [(name, f"{n} x" if n > 1 else "", *_columns(row)) for name, n, row in named]
    table += [(name, "", "", "", "missing (the model's own name)") for name in inventory.missing]
    widths = [max(len(line[i]) for line in table) for i in range(4)]
    return [
        f"{name:<{widths[0]}}  {n:>{widths[1]}}  {shape:<{widths[2]}}  {dtype:<{widths[3]}}  {word}"
        .rstrip()
        for name, n, shape, dtype, word in table
    ]  # fmt: skip


def _columns(row: TensorRow) -> tuple[str, str, str]:
    word = row.status
    if row.misfit is not None:
        word += f"; the model needs {list(row.misfit)}"
    return str(list(row.shape)), row.dtype, word
