"""Write the smallest recipe for a model, a backend and a scheme, and check it.

llm-export new my_recipe.yaml                                       asks
llm-export new my_recipe.yaml --model qwen3_0_6b --backend xnnpack --quant 8da4w
llm-export new my_recipe.yaml --checkpoint FOLDER --backend xnnpack --quant 8da8w
llm-export new my_recipe.yaml model=qwen3_0_6b backend=xnnpack quant=8da4w quant.group_size=64
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llm_export.cli import recipe_warnings
from llm_export.cli.recipe_args import command_for, is_hub_id, write_recipe
from llm_export.config.compose import Composer
from llm_export.config.new_recipe import recipe_text
from llm_export.config.renamed import current_overrides
from llm_export.errors import LlmExportError, RecipeError, did_you_mean

_ASKED = ("model", "backend", "quant")
_AUTO = "auto"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a new .yaml file")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="what else it says")
    for group in _ASKED:
        parser.add_argument(f"--{group}", metavar="NAME", help=f"llm-export ls {group}s")
    parser.add_argument("--checkpoint", metavar="WEIGHTS",
                        help="a file, a folder, or ORG/NAME on the Hugging Face hub; "
                        "without --model, the model is read from it")  # fmt: skip
    parser.add_argument("--description", default="", help="a line for people")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("--config-dir", "-cd", metavar="DIR",
                        help="a further folder with recipes and options")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    composer = Composer(None, options.config_dir)
    said = {key.partition("=")[0] for key in options.overrides}
    words = [f"{g}={getattr(options, g)}" for g in _ASKED if getattr(options, g)]
    if options.checkpoint:
        words.append(_checkpoint(options.checkpoint))
        if not options.model and "model" not in said:
            words.insert(0, f"model={_AUTO}")
    overrides, renamed = current_overrides(options.overrides)
    recipe_warnings.warn(renamed)
    words += overrides
    for group in _ASKED:
        if not any(word.startswith(f"{group}=") for word in words):
            words.insert(0, f"{group}={_ask(composer, group, words)}")
    order = {group: place for place, group in enumerate(_ASKED)}
    words.sort(key=lambda w: order.get(w.partition("=")[0], len(order)))
    if f"model={_AUTO}" not in words:
        _require_sound(composer, words)
    file = Path(options.file)
    command = command_for(file)
    write_recipe(
        file, recipe_text(composer, words, options.description, command), force=options.force
    )
    print(f"{file}: {' '.join(words)}")
    print(f"  check it: llm-export validate {file}")
    print(f"  run it:   {command}")


def _checkpoint(word: str) -> str:
    return f"checkpoint.{'hf_id' if is_hub_id(word) else 'path'}='{word}'"


def _ask(composer: Composer, group: str, words: list[str]) -> str:
    """The user's choice, of those that suit what was chosen before.

    Raises:
        RecipeError: nobody is there to be asked.
    """
    names = composer.options(group)
    if not sys.stdin.isatty():
        raise RecipeError(
            f"the recipe needs a {group}", where=f"--{group}",
            fix=f"--{group} NAME; llm-export ls {group}s lists them",
        )  # fmt: skip
    if group != "model":
        names = [n for n in names if _sound(composer, [*words, f"{group}={n}"], group)]
    print(f"{group}:")
    for name in names:
        print(f"  {name}  {composer.describe(group, name)[0]}")
    while True:
        try:
            answer = input(f"{group}? ").strip()
        except EOFError:
            raise RecipeError(f"no {group} was chosen; nothing was written") from None
        if answer in names:
            return answer
        print(f"there is no {group} '{answer}'; {did_you_mean(answer, names)}")


def _sound(composer: Composer, words: list[str], group: str) -> bool:
    """Whether the choice of ``group`` is not what is wrong. What this machine lacks is no matter:
    the recipe may be run on another."""
    from llm_export.checks.rules import find_problems

    if f"model={_AUTO}" in words:
        words = ["model=tiny", *(w for w in words if not w.startswith(("model=", "checkpoint.")))]
    try:
        problems = find_problems(composer.compose(words).recipe)
    except LlmExportError:
        return False
    return not any(p.key.startswith(group) and not p.environment for p in problems)


def _require_sound(composer: Composer, words: list[str]) -> None:
    from llm_export.checks.rules import find_problems, require_sound

    recipe = composer.compose(words).recipe
    if any(not p.environment for p in find_problems(recipe)):
        require_sound(recipe)
