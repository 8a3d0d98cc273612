"""Print a resolved recipe and the origin of each part.

llm-export show smollm2_135m_xnnpack_8da8w
llm-export show model=tiny quant=8da4w backend=xnnpack
"""

from __future__ import annotations

import argparse

from llm_export import api
from llm_export.cli.recipe_args import add_recipe_words, split_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_words(parser)


def run(options: argparse.Namespace) -> None:
    source, overrides = split_words(options.words)
    print(api.show(source, overrides, options.config_dir), end="")
