"""Compare two bundles: speed, memory, size, quality, recipe, versions, machine.

llm-export compare outputs/one outputs/another
llm-export compare outputs/one outputs/another --measure         measure both anew, in turns
llm-export compare base/run.json outputs/another                 with saved results
llm-export compare base outputs/another --fail-if 'decode.median < 0.95 * base'
llm-export compare --quantities                                  names for conditions

A is the base. A difference is significant if it is more than chance, over all that is compared.

Conditions have numbers, quantities (base.NAME is that of A, base alone the quantity beside it),
+ - * /, comparisons, and, or, not, min, max, abs, percentages such as 5%, significant(NAME), and
worse_by(NAME): the share by which B is worse. The exit code is 1 if a condition holds, or cannot be
decided.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import TYPE_CHECKING

from llm_export import api
from llm_export.cli.layout import columns_here
from llm_export.cli.runtime_args import printable
from llm_export.errors import InputError, RecipeError
from runtime_py.benchmark.arguments import end_progress, show_progress
from runtime_py.benchmark.words import aligned

if TYPE_CHECKING:
    from llm_export.compare.result import CompareResult


OF_MEASURE = ("rounds", "threads", "prompt_length", "decode_length")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sides", nargs="*", metavar="BUNDLE",
                        help="A and B: folders, run.json or benchmark.json")  # fmt: skip
    parser.add_argument("--fail-if", action="append", default=[], metavar="CONDITION",
                        help="exit with 1 if it holds; may be repeated")  # fmt: skip
    parser.add_argument("--fail-on-regression", action="store_true",
                        help="exit with 1 if B is worse: verdict, speed, size, memory, quality"
                        )  # fmt: skip
    parser.add_argument("--allow-missing", action="store_true",
                        help="conditions that cannot be decided do not fail")  # fmt: skip
    parser.add_argument("--junit", metavar="FILE", help="write what held as a JUnit report")
    parser.add_argument("--measure", action="store_true",
                        help="measure both anew, in turns, instead of reading their benchmarks"
                        )  # fmt: skip
    parser.add_argument("--rounds", type=int, metavar="N",
                        help="of --measure; default 6")  # fmt: skip
    parser.add_argument("--threads", type=int, metavar="N", help="of --measure")
    parser.add_argument("--prompt-length", type=int, metavar="N",
                        help="of --measure; default 512, less in a short context")  # fmt: skip
    parser.add_argument("--decode-length", type=int, metavar="N",
                        help="of --measure; default 128, less in a short context")  # fmt: skip
    parser.add_argument("--all", action="store_true", dest="all_rows",
                        help="every quantity, percentiles and lowering too")  # fmt: skip
    parser.add_argument("--quantities", action="store_true",
                        help="list the names that conditions may use")  # fmt: skip
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of tables")
    form.add_argument("--md", action="store_true", help="print Markdown")


def run(options: argparse.Namespace) -> int:
    if options.quantities:
        _print_quantities(options)
        return 0
    if len(options.sides) != 2:
        raise RecipeError(
            f"two bundles are compared, not {len(options.sides)}",
            where=" ".join(["llm-export compare", *options.sides]),
            fix="llm-export compare BUNDLE BUNDLE",
        )
    given = [name for name in OF_MEASURE if getattr(options, name) is not None]
    if given and not options.measure:
        raise RecipeError(
            f"--{given[0].replace('_', '-')} is of a new measurement", where="llm-export compare",
            fix="add --measure",
        )  # fmt: skip
    try:
        result = api.compare(
            *options.sides, fail_if=options.fail_if, allow_missing=options.allow_missing,
            fail_on_regression=options.fail_on_regression, measure=options.measure,
            rounds=options.rounds, threads=options.threads, prompt_length=options.prompt_length,
            decode_length=options.decode_length,
            progress=lambda done, total: show_progress(f"measured {done} of {total} turns"),
        )  # fmt: skip
    finally:
        end_progress()
    if options.junit:
        _write_junit(Path(options.junit), result)
    _print(result, options)
    return int(result.failed)


def _print(result: CompareResult, options: argparse.Namespace) -> None:
    from llm_export.compare import tables

    if options.json:
        print(json.dumps(result.as_dict(), indent=2, default=str))
        return
    found, every = result.comparison, options.all_rows
    shown = [*(tables.markdown_lines(found, all_rows=every) if options.md else
               tables.text_lines(found, all_rows=every, columns=columns_here()))]  # fmt: skip
    shown += tables.outcome_lines(result.gates, result.rules, markdown=options.md)
    print(printable("\n".join(shown)))


def _print_quantities(options: argparse.Namespace) -> None:
    found = api.quantities(*options.sides)
    if options.json:
        body = [
            {"name": name, "group": q.group, "title": q.shown.heading, "unit": q.shown.unit,
             "higher_is_better": q.shown.higher_is_better}
            for name, q in found.items()
        ]  # fmt: skip
        print(json.dumps(body, indent=2))
        return
    better = {True: "more is better", False: "less is better", None: ""}
    rows = [(name, q.shown.heading, q.shown.unit, better[q.shown.higher_is_better])
            for name, q in found.items()]  # fmt: skip
    print(printable("\n".join(aligned(rows, left=range(4)))))


def _write_junit(file: Path, result: CompareResult) -> None:
    from llm_export.compare.junit import junit_xml
    from llm_export.files import write_text

    now = datetime.datetime.now(datetime.timezone.utc)
    try:
        write_text(file, junit_xml([*result.gates, *result.rules], result.summary, now))
    except OSError as error:
        raise InputError(
            f"the report cannot be written: {error.strerror}", where=str(file),
            fix="--junit FILE in a folder that exists and can be written",
        ) from None  # fmt: skip
