"""Write a minimal recipe for a model, a backend and a quantization option, and check it.

llm-export new my_recipe.yaml                                       asks
llm-export new my_recipe.yaml --model qwen3_0_6b --backend xnnpack --quant 8da4w
llm-export new my_recipe.yaml --checkpoint FOLDER --backend xnnpack --quant 8da8w
llm-export new my_recipe.yaml model=qwen3_0_6b backend=xnnpack quant=8da4w quant.group_size=64
"""

from __future__ import annotations

import argparse
import sys

from llm_export import api
from llm_export.api.recipe_files import ASKED
from llm_export.cli.layout import on_page
from llm_export.errors import RecipeError, nearest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a new .yaml file")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="what else it says")
    for group in ASKED:
        parser.add_argument(f"--{group}", metavar="NAME", help=f"llm-export ls {group}s")
    parser.add_argument("--checkpoint", metavar="WEIGHTS",
                        help="a file, a folder, or ORG/NAME on the Hugging Face hub; "
                        "without --model, the model is read from it")  # fmt: skip
    parser.add_argument("--description", default="", help="a line for people")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("--config-dir", "-cd", metavar="DIR",
                        help="a further folder with recipes and options")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    if "=" in options.file:
        raise RecipeError(
            f"'{options.file}' is no file to write", where="llm-export new",
            fix=f"llm-export new my_recipe.yaml {' '.join([options.file, *options.overrides])}",
        )  # fmt: skip
    groups = {group: getattr(options, group) for group in ASKED}
    overrides = list(options.overrides)
    said = api.recipe_words(overrides, options.checkpoint, **groups)
    for group in api.missing_groups(said):
        overrides.append(f"{group}={_ask(group, said, options.config_dir)}")
        said.append(overrides[-1])
    checkpoint = options.checkpoint
    if "model=auto" in said and not any(word.startswith("checkpoint.") for word in said):
        checkpoint = _ask_checkpoint()
    made = api.new(
        options.file, overrides, options.config_dir, checkpoint=checkpoint,
        description=options.description, force=options.force, **groups,
    )  # fmt: skip
    print(f"{made.path}: {' '.join(made.overrides)}")
    print(f"  check it: llm-export validate {made.path}")
    print(f"  run it:   {made.command}")


def _ask_checkpoint() -> str | None:
    """Ask the user for the checkpoint of model=auto; None if standard input is not a terminal."""
    if not sys.stdin.isatty():
        return None
    try:
        return input("checkpoint (a file, a folder, or ORG/NAME)? ").strip() or None
    except EOFError:
        raise RecipeError("no checkpoint was named; nothing was written") from None


def _ask(group: str, said: list[str], config_dir: str | None) -> str:
    """Ask the user for an option that is compatible with the choices made so far.

    Raises:
        RecipeError: standard input is not a terminal.
    """
    if not sys.stdin.isatty():
        raise RecipeError(
            f"the recipe needs a {group}", where=f"--{group}",
            fix=f"--{group} NAME; llm-export ls {group}s lists them",
        )  # fmt: skip
    names = api.choices(group, said, config_dir)
    print(f"{group}:")
    width = max(map(len, names)) + 3
    for name, text in names.items():
        print("\n".join(on_page(f"  {name}", text, width)))
    while True:
        try:
            answer = input(f"{group}? ").strip()
        except EOFError:
            raise RecipeError(f"no {group} was chosen; nothing was written") from None
        if answer in names:
            return answer
        near = " or ".join(f"'{name}'" for name in nearest(answer, names, 3))
        print(f"there is no {group} '{answer}'; {f'did you mean {near}?' if near else 'see above'}")
