"""Check a recipe without starting any work: exit code 0 if it is sound.

llm-export validate smollm2_135m_xnnpack_8da8w quant=8da4w
"""

from __future__ import annotations

import argparse

from llm_export import api
from llm_export.cli.words import add_recipe_words, split_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_words(parser)


def run(options: argparse.Namespace) -> None:
    from llm_export.config.checks import require_sound, resolved_attention, tier_of

    source, overrides = split_words(options.words)
    composed = api.compose_recipe(source, overrides, options.config_dir)
    recipe = composed.recipe
    require_sound(recipe)
    print(f"{recipe.name}: sound")
    print(
        f"  model {recipe.model.name}, quant {recipe.quant.name}, backend {recipe.backend.name}, "
        f"attention {resolved_attention(recipe)}, context {recipe.runtime.context_length} tokens"
    )
    print(f"  tier: {tier_of(recipe)}")
    expected = api.predict_cost(recipe)
    if expected is not None:
        print(f"  {expected.in_words()}")
    print(f"  bundle: {api.output_folder(recipe)}")
