"""Pack a recipe, or a bundle's recipe with its evidence, for others.

  llm-export share BUNDLE --to DIR                      recipe, lock, evidence, card, licence
  llm-export share RECIPE|FILE KEY=VALUE ... --to DIR   the recipe alone
  llm-export share BUNDLE --to hf:ORG/NAME              to the Hugging Face hub (`hf auth login`)

Weights and programs are never packed. Others fetch the recipe with llm-export get.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from llm_export import api
from llm_export.cli.recipe_args import add_recipe_words, split_words

if TYPE_CHECKING:
    from llm_export.sharing.pack import Packed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_words(parser)
    parser.add_argument("--to", required=True, metavar="DIR|hf:ORG/NAME", help="where to put it")
    parser.add_argument("--licence", metavar="NAME|FILE",
                        help="of the recipe: BSD-3-Clause (default), MIT, or a file")  # fmt: skip
    parser.add_argument("--holder", metavar="NAME", help="who holds the recipe's copyright")
    parser.add_argument("--model-licence", metavar="NAME",
                        help="of the model, where its card is not at hand")  # fmt: skip
    parser.add_argument("--private", action="store_true", help="a private repository of the hub")


def run(options: argparse.Namespace) -> None:
    source, overrides = split_words(options.words)
    shared = api.share(
        source, overrides, options.config_dir, to=options.to, licence=options.licence,
        holder=options.holder, model_licence=options.model_licence, private=options.private,
        packed=_print_packed,
    )  # fmt: skip
    done = "packed" if shared.address == options.to else "uploaded"
    print(f"{done}: {shared.address}\ntake it: llm-export get {options.to}")


def _print_packed(packed: Packed) -> None:
    for name, data in packed.files.items():
        print(f"  {len(data):>9,} bytes  {name}")
    for key, place in packed.brought.items():
        print(f"left out: what {key} names; the recipe looks for it in {place}")
    for name, path in packed.left_out.items():
        print(f"left out: {name}, which tells of this machine: {path}")
