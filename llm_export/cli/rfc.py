"""The flags of the deployment RFC, instead of a recipe.

  python -m llm_export --hf_id=ORG/NAME --export_config=recipe.yaml
  python -m llm_export --check_point=consolidated.00.pth --model_config=params.json \\
      --export_config=recipe.yaml
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from llm_export import api
from llm_export.cli.parser import VerbParser
from llm_export.cli.recipe_args import split_words
from llm_export.config.compose import Composer
from llm_export.config.schema import CheckpointConfig, ModelConfig
from llm_export.errors import RecipeError
from llm_export.resolve.auto_model import AUTO, default_name


def run(words: list[str]) -> int:
    """Compose ``--export_config``, take the model from the checkpoint's own config, and run."""
    parser = VerbParser(prog="python -m llm_export", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)  # fmt: skip
    parser.add_argument("--hf_id", metavar="ORG/NAME")
    parser.add_argument("--revision")
    parser.add_argument("--check_point", metavar="FILE", help="weights: .pth, .safetensors, .gguf")
    parser.add_argument("--model_config", metavar="FILE", help="params.json or config.json")
    parser.add_argument("--export_config", metavar="FILE", help="a recipe file or a recipe's name")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    options = parser.answer(words)
    if (options.hf_id is None) == (options.check_point is None):
        raise RecipeError(
            "give either --hf_id or --check_point", fix="python -m llm_export --hf_id=ORG/NAME"
        )
    stray, overrides = split_words(options.overrides)
    if stray:
        raise RecipeError(f"'{stray}' is not an override", fix="KEY=VALUE")
    composed = Composer(options.export_config).compose(overrides)
    former = composed.recipe
    checkpoint = CheckpointConfig(
        path=options.check_point,
        hf_id=options.hf_id,
        revision=options.revision,
        config_path=options.model_config,
        adapter=composed.recipe.checkpoint.adapter,
    )
    model, name = ModelConfig(name=AUTO, definition=AUTO, family=AUTO), former.name
    if name == default_name(former):
        name = default_name(replace(former, model=model))
    recipe = replace(former, model=model, checkpoint=checkpoint, name=name)
    choices = {**composed.choices, "model": None}
    result = api.run(replace(composed, recipe=recipe, choices=choices))

    from llm_export.cli.result import print_result

    print_result(result)
    return 0
