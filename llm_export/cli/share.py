"""Pack a recipe, or a bundle's recipe with its evidence, for others.

  llm-export share BUNDLE --to DIR                      recipe, lock, evidence, card, licence
  llm-export share RECIPE|FILE KEY=VALUE ... --to DIR   the recipe alone
  llm-export share BUNDLE --to hf:ORG/NAME              to the Hugging Face hub (`hf auth login`)

Neither weights nor the program are ever packed. Others take it with llm-export get.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from llm_export.cli import recipe_warnings
from llm_export.cli.recipe_args import add_recipe_words, split_words
from llm_export.errors import RecipeError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_words(parser)
    parser.add_argument("--to", required=True, metavar="DIR|hf:ORG/NAME", help="where to put it")
    parser.add_argument("--licence", metavar="NAME|FILE",
                        help="of the recipe: BSD-3-Clause (default), MIT, or a file")  # fmt: skip
    parser.add_argument("--holder", metavar="NAME", help="who holds the recipe's copyright")
    parser.add_argument("--model-licence", metavar="NAME",
                        help="of the model, where its card is not at hand")  # fmt: skip
    parser.add_argument("--private", action="store_true", help="a private repository of the hub")


def run(options: argparse.Namespace) -> int:
    from llm_export.sharing.hub import PREFIX, HubSource, upload
    from llm_export.sharing.licences import licence
    from llm_export.sharing.pack import pack, write

    source, overrides = split_words(options.words)
    if source is None and not overrides:
        raise RecipeError("nothing was named to share", fix="llm-export share --help")
    on_hub = options.to.startswith(PREFIX)
    repository = HubSource.parse(options.to).repository if on_hub else None
    packed = pack(
        source, overrides, options.config_dir, licence(options.licence, options.holder),
        model_licence=options.model_licence, target=options.to,
    )  # fmt: skip
    recipe_warnings.warn(packed.warnings)
    for name, data in packed.files.items():
        print(f"  {len(data):>9,} bytes  {name}")
    for key, place in packed.brought.items():
        print(f"left out: what {key} names; the recipe looks for it in {place}")
    for name, path in packed.left_out.items():
        print(f"left out: {name}, which tells of this machine: {path}")
    if repository is None:
        write(packed, Path(options.to))
        print(f"packed: {options.to}\ntake it: llm-export get {options.to}")
        return 0
    import tempfile

    with tempfile.TemporaryDirectory(prefix="llm_export-share-") as scratch:
        write(packed, Path(scratch) / "recipe")
        address = upload(Path(scratch) / "recipe", repository, options.private)
    print(f"uploaded: {address}\ntake it: llm-export get {options.to}")
    return 0
