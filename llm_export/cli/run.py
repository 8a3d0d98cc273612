"""Export a model by a recipe and verify the bundle.

  llm-export run smollm2_135m_xnnpack_8da8w
  llm-export run smollm2_135m_xnnpack_8da8w quant=8da4w_asym quant.group_size=64 out=my_bundle
  llm-export run model=tiny backend=portable
  llm-export run my_recipe.yaml
  llm-export run BUNDLE/recipe.lock.yaml out=again           (the same program, bit by bit)
  llm-export run -m model=tiny backend=portable,xnnpack      (every combination; the same
                                                              command again resumes)

Overrides follow Hydra's grammar. --help GROUP lists the options and keys of one group.
"""

from __future__ import annotations

import argparse
import sys

from llm_export import api
from llm_export.cli.group_help import print_groups
from llm_export.cli.recipe_args import add_recipe_words, add_run_flags, split_words
from llm_export.config.compose import Composer
from llm_export.errors import RecipeError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_words(parser)
    parser.add_argument("-h", "--help", action="store_true", help="this text and the groups")
    parser.add_argument("-m", "--multirun", action="store_true", help="run every combination")
    parser.add_argument("--launcher", metavar="NAME",
                        help="with -m, where they run: local (one after another), joblib, "
                        "submitit_local, submitit_slurm or ray")  # fmt: skip
    parser.add_argument("--cfg", "-c", choices=("job", "hydra", "all"),
                        help="print the composed config instead of running")  # fmt: skip
    parser.add_argument("--package", "-p", metavar="KEY", help="with --cfg: only this part")
    parser.add_argument("--resolve", action="store_true", help="with --cfg: resolve references")
    add_run_flags(parser)
    parser.add_argument("--allow-different", action="store_true",
                        help="of a lock: run although what it pins differs here")  # fmt: skip
    parser.set_defaults(_parser=parser)


def print_help() -> None:
    """Marks that this command prints its own help."""


def run(options: argparse.Namespace) -> int:
    source, overrides = split_words(options.words)
    if options.help:
        return print_groups(options._parser, source, overrides, options.config_dir)
    if options.multirun and not options.cfg:
        return _sweep(options, source, overrides)
    if options.launcher:
        raise RecipeError("--launcher is for sweeps", where="--launcher", fix="add -m")
    if options.cfg:
        Composer(source, options.config_dir).show(
            overrides, options.cfg, options.package, options.resolve
        )
        return 0
    if not options.words and not options.quiet:
        line = (
            "no recipe is named: this is model=tiny with all defaults; llm-export ls lists recipes"
        )
        print(line, file=sys.stderr)
    try:
        result = api.run(
            source, overrides, options.config_dir, quiet=options.quiet,
            cache=not options.no_cache, limits=not options.no_limits,
            allow_different=options.allow_different,
        )  # fmt: skip
    except api.DifferentProgramError as error:
        _print(error.result, stages=options.quiet)
        raise
    _print(result, stages=options.quiet)
    if result.lock:
        print(result.lock)
    return 0


def _print(result: api.RunResult, *, stages: bool) -> None:
    from llm_export.cli.result import print_result  # imports torch: after a recipe's mistakes

    print_result(result, stages=stages)


def _sweep(options: argparse.Namespace, source: str | None, overrides: list[str]) -> int:
    """Run every combination; the exit code is that of the first failure."""
    result = api.sweep(
        source,
        overrides,
        options.config_dir,
        launcher=options.launcher,
        quiet=options.quiet,
        cache=not options.no_cache,
        limits=not options.no_limits,
    )
    print(f"\n{result.screen}\nsweep: {result.folder}")
    return result.exit_code
