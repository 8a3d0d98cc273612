"""Copy a recipe into a file of your own, to change it there.

llm-export cp smollm2_135m_xnnpack_8da8w my_recipe.yaml
llm-export cp smollm2_135m_xnnpack_8da8w .             under its own name
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from llm_export.cli.recipe_args import command_for, write_recipe
from llm_export.config.compose import Composer

_COMMAND = re.compile(r"\A# llm-export run .*\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe's name or a YAML file")
    parser.add_argument("file", metavar="FILE", help="a new .yaml file, or a folder for it")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("--config-dir", "-cd", metavar="DIR",
                        help="a further folder with recipes and options")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    composer = Composer(options.recipe, options.config_dir)
    place = composer.place(options.recipe)
    file = Path(options.file)
    if file.is_dir():
        file /= place.name
    # The header names the command of the recipe; the copy's is another.
    text = _COMMAND.sub("", place.read_text(encoding="utf-8"))
    write_recipe(file, f"# {command_for(file)}\n{text}", force=options.force)
    print(f"{file}: a copy of {options.recipe}")
    print(f"  check it: llm-export validate {file}")
    print(f"  run it:   {command_for(file)}")
