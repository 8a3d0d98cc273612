"""Print a recipe, resolved, and where each part came from.

llm-export show smollm2_135m_xnnpack_8da8w
llm-export show model=tiny quant=8da4w backend=xnnpack
"""

from __future__ import annotations

import argparse

from llm_export import api
from llm_export.cli import recipe_warnings
from llm_export.cli.recipe_args import add_recipe_words, split_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_words(parser)


def run(options: argparse.Namespace) -> None:
    from llm_export.config.recipe_files import recipe_yaml

    source, overrides = split_words(options.words)
    composed = api.compose_recipe(source, overrides, options.config_dir)
    recipe_warnings.warn(composed.warnings)
    print(f"# recipe: {composed.origins['recipe']}")
    for group, choice in composed.choices.items():
        print(f"# {group + ':':<11} {choice or '(in the recipe)':<16} {composed.origins[group]}")
    for override in overrides:
        print(f"# override:   {override}")
    print(recipe_yaml(composed.recipe, header=False), end="")
