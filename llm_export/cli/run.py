"""Take a recipe to a proven bundle.

  llm-export run smollm2_135m_xnnpack_8da8w
  llm-export run smollm2_135m_xnnpack_8da8w quant=8da4w quant.group_size=64 out=my_bundle
  llm-export run model=tiny backend=portable
  llm-export run my_recipe.yaml
  llm-export run -m model=tiny backend=portable,xnnpack      (every combination)

Overrides follow Hydra's grammar. --help GROUP lists the options and keys of one group.
"""

from __future__ import annotations

import argparse

from llm_export import api
from llm_export.cli.group_help import print_groups
from llm_export.cli.words import add_recipe_words, split_words
from llm_export.config.compose import Composed, Composer
from llm_export.config.schema import Recipe
from llm_export.errors import LlmExportError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_words(parser)
    parser.add_argument("-h", "--help", action="store_true", help="this text and the groups")
    parser.add_argument("-m", "--multirun", action="store_true", help="run every combination")
    parser.add_argument("--cfg", "-c", choices=("job", "hydra", "all"),
                        help="print the composed config instead of running")  # fmt: skip
    parser.add_argument("--package", "-p", metavar="KEY", help="with --cfg: only this part")
    parser.add_argument("--resolve", action="store_true", help="with --cfg: resolve references")
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress, only the result")
    parser.add_argument("--no-cache", action="store_true",
                        help="run every stage, and keep nothing for later runs")  # fmt: skip
    parser.set_defaults(_parser=parser)


def print_help() -> None:
    """Marks that this verb prints its own help."""


def run(options: argparse.Namespace) -> int:
    source, overrides = split_words(options.words)
    if options.help:
        return print_groups(options._parser, source, overrides, options.config_dir)
    composer = Composer(source, options.config_dir)
    if options.cfg:
        composer.show(overrides, options.cfg, options.package, options.resolve)
        return 0
    if options.multirun:
        return _sweep(composer, overrides, options.quiet, not options.no_cache)
    _run_one(composer.compose(overrides), options.quiet, not options.no_cache)
    return 0


def _run_one(composed: Composed, quiet: bool, cache: bool) -> None:
    result = api.run_recipe(composed, quiet=quiet, cache=cache)
    from llm_export.cli.result import print_result

    print_result(result)


def _sweep(composer: Composer, overrides: list[str], quiet: bool, cache: bool) -> int:
    """Every combination is tried; the exit code is the first failure's."""
    failures: list[LlmExportError] = []

    def job(recipe: Recipe, choices: dict[str, str | None], job_overrides: list[str]) -> None:
        try:
            _run_one(Composed(recipe, choices, {}, job_overrides), quiet, cache)
        except LlmExportError as error:
            import sys

            print(f"error: {recipe.name}: {error}", file=sys.stderr)
            failures.append(error)

    composer.sweep(overrides, job)
    return failures[0].exit_code if failures else 0
