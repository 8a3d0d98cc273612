"""Validate a recipe without running it: exit code 0 if it is valid.

llm-export validate smollm2_135m_xnnpack_8da8w quant=8da4w
llm-export validate my_recipe.yaml --quick       without building the model, in half a second

All problems are printed at once. Checked are the rules across groups, the model, the tensor names
and shapes of a local checkpoint, the backend's dependencies, and free memory and disk space.
"""

from __future__ import annotations

import argparse

from llm_export import api
from llm_export.cli.layout import fold
from llm_export.cli.recipe_args import add_recipe_words, split_words
from llm_export.cli.waiting import waiting


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_words(parser)
    parser.add_argument("--quick", action="store_true",
                        help="do not build the model, nor look at its checkpoint")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    from llm_export.amounts import amount
    from llm_export.checks.problem import raise_problems

    source, overrides = split_words(options.words)
    recipe = api.compose(source, overrides, options.config_dir).recipe
    with waiting(f"checking {recipe.name}"):
        found = api.validate(recipe, build=not options.quick)
    raise_problems(found.problems)
    assert found.resolved is not None, "it is sound"
    print(f"{recipe.name}: sound")
    costs = [found.expected.summary()] if found.expected is not None else []
    if found.program is not None:
        costs.append(f"model.pte about {amount(found.program)}")
    lines = [
        f"model {recipe.model.name}, quant {recipe.quant.name}, backend {recipe.backend.name}, "
        f"attention {found.resolved.attention}, "
        f"context {found.resolved.recipe.runtime.context_length} tokens",
        *found.resolved.notes, *found.notes,
        f"tier: {found.resolved.tier}",
        *([f"model: {found.model}"] if found.model else []),
        *(["; ".join(costs)] if costs else []),
        f"bundle: {api.output_folder(recipe)}",
    ]  # fmt: skip
    for line in lines:
        print(fold(f"  {line}"))
