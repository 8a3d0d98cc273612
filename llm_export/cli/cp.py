"""Copy a recipe to a new file for editing.

llm-export cp smollm2_135m_xnnpack_8da8w my_recipe.yaml
llm-export cp smollm2_135m_xnnpack_8da8w .             under its own name
"""

from __future__ import annotations

import argparse

from llm_export import api


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe's name or a YAML file")
    parser.add_argument("file", metavar="FILE", help="a new .yaml file, or a folder for it")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("--config-dir", "-cd", metavar="DIR",
                        help="a further folder with recipes and options")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    copy = api.cp(options.recipe, options.file, force=options.force, config_dir=options.config_dir)
    print(f"{copy.path}: a copy of {options.recipe}")
    print(f"  check it: llm-export validate {copy.path}")
    print(f"  run it:   {copy.command}")
