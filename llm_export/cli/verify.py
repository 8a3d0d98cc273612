"""Check a bundle: files and hashes, manifest, lock, and requirements on the runtime.

llm-export verify outputs/smollm2_135m_xnnpack_8da8w
llm-export verify BUNDLE --templates   its chat template in the engines of apps
llm-export verify BUNDLE --for android --for react_native@0.11   what these consumers require
llm-export verify BUNDLE --for all                               a table of all consumers

The verdict of the run that made the bundle comes first, if all checks pass. If all else holds, the
bundle is loaded and generates one token, in another process. The exit code is 2 if a check fails.
--executorch 1.4.1 compares the program with that release instead, and loads nothing.

With --for the bundle is compared with contracts instead: which files, constant methods, tensors,
operators and backends a consumer requires; `llm-export ls consumers` names them. Nothing is loaded.
The exit code is 2 if the contract of a named consumer is not met; `--for all` is a survey, which
ends with 0.
"""

from __future__ import annotations

import argparse

from llm_export import api
from llm_export.api.consumers import ALL
from llm_export.cli.consumers_text import print_contract, print_end, print_table
from llm_export.cli.layout import beside
from llm_export.cli.runtime_args import printable
from llm_export.cli.template_text import print_templates
from llm_export.cli.verdict_text import print_verdict
from llm_export.consumers import contract_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        help="a folder of `llm-export run`, or a file of `llm-export pack`",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--templates", action="store_true",
                        help="its chat template in the engines of apps")  # fmt: skip
    instead.add_argument("--for", dest="consumers", action="append", metavar="NAME[@VERSION]",
                        help="a consumer, or all; may be repeated")  # fmt: skip
    instead.add_argument(
        "--executorch",
        metavar="VERSION",
        help="compare with this release instead of the runtime here",
    )
    parser.add_argument("--quiet", "-q", action="store_true", help="print only what failed")


def run(options: argparse.Namespace) -> int:
    if options.templates:
        return print_templates(options.bundle, quiet=options.quiet)
    if options.consumers:
        return _run_for(options.bundle, options.consumers, options.quiet)
    checks = api.verify(options.bundle, executorch=options.executorch)
    failed = [check for check in checks if not check.good]
    shown = failed if options.quiet else checks
    if not failed and not options.quiet:
        print_verdict(api.proof(options.bundle))
        print()
    width = max((len(check.what) for check in shown), default=0)
    for check in shown:
        state = "ok" if check.good else "FAILED"
        head = f"{state:<6}  {printable(check.what)}"
        print("\n".join(beside(head, printable(check.found), width + 9)))
    gap = "\n" if shown else ""
    if failed:
        print(f"{gap}{len(failed)} of {len(checks)} checks failed: {options.bundle}")
        return 2
    print(f"{gap}all {len(checks)} checks passed: {options.bundle}")
    return 0


def _run_for(bundle: str, names: list[str], quiet: bool) -> int:
    named = [name for name in names if name != ALL]
    verdicts = api.verify_for(bundle, *named) if named else []
    for verdict in verdicts:
        print_contract(verdict, contract_of(verdict.name), quiet=quiet)
    if len(named) < len(names):
        every = api.verify_for(bundle)
        print_table(every, quiet=quiet)
        print()
        print_end(every, bundle, survey=True)
    else:
        print_end(verdicts, bundle, survey=False)
    return 0 if all(verdict.good for verdict in verdicts) else 2
