"""Search over options and values of a recipe for the best by what is measured.

  llm-export tune model=tiny backend=xnnpack quant=8da4w,8da8w --objective quality --objective size
  llm-export tune RECIPE quant=8da4w,8da4w_asym quant.group_size=32,64 --require 'mean_kl < 0.05'
  llm-export tune RECIPE quant=8da8w 'quant.smooth.alpha=interval(0.3,0.8)' --budget 2h

Overrides in Hydra's sweep syntax span the space: A,B and choice(A,B), range(START,STOP,STEP),
interval(LOW,HIGH), tag(log, interval(LOW,HIGH)). Each trial is a run; trials share cached stages.
The same command resumes. Results: tune.md, best.yaml and front/, which llm-export run takes.
"""

from __future__ import annotations

import argparse
import json

from llm_export import api
from llm_export.cli.recipe_args import add_recipe_words, add_run_flags, split_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe_words(parser)
    parser.add_argument("--objective", action="append", metavar="NAME",
                        help="quality (default), size, decode, prefill, ttft, memory, a metric, or "
                        "TASK.VALUE:max of an evaluation; several are traded off")  # fmt: skip
    parser.add_argument("--require", action="append", metavar="BOUND", default=[],
                        help="'mean_kl < 0.05', 'pte_mb < 120'")  # fmt: skip
    parser.add_argument("--budget", action="append", metavar="BUDGET", default=[],
                        help="20runs (default), 2h; of several, the first spent")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the sampler")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    add_run_flags(parser)


def run(options: argparse.Namespace) -> int:
    source, overrides = split_words(options.words)
    found = api.tune(
        source,
        overrides,
        options.config_dir,
        objectives=options.objective or ["quality"],
        require=options.require,
        budget=options.budget,
        seed=options.seed,
        quiet=options.quiet,
        cache=not options.no_cache,
        limits=not options.no_limits,
    )
    if options.json:
        print(json.dumps(found.as_dict(), indent=2))
        return found.exit_code
    print(f"\n{found.screen}\n\ntune: {found.folder}")
    if found.recipe:
        print(f"run it: llm-export run {found.recipe}")
    return found.exit_code
