"""Check a bundle: files and hashes, manifest, lock, and requirements on the runtime.

llm-export verify outputs/smollm2_135m_xnnpack_8da8w

The verdict of the run that made the bundle comes first, if all checks pass. If all else holds, the
bundle is loaded and generates one token, in another process. The exit code is 2 if a check fails.
--executorch 1.4.1 compares the program with that release instead, and loads nothing.
"""

from __future__ import annotations

import argparse

from llm_export import api
from llm_export.cli.runtime_args import printable
from llm_export.cli.verdict_text import print_verdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE", help="a folder that `llm-export run` made")
    parser.add_argument(
        "--executorch",
        metavar="VERSION",
        help="compare with this release instead of the runtime here",
    )
    parser.add_argument("--quiet", "-q", action="store_true", help="print only what failed")


def run(options: argparse.Namespace) -> int:
    checks = api.verify(options.bundle, executorch=options.executorch)
    failed = [check for check in checks if not check.good]
    shown = failed if options.quiet else checks
    if not failed and not options.quiet:
        print_verdict(api.proof(options.bundle))
        print()
    width = max((len(check.what) for check in shown), default=0)
    for check in shown:
        state = "ok" if check.good else "FAILED"
        print(f"{state:<6}  {printable(check.what):<{width}}  {printable(check.found)}")
    gap = "\n" if shown else ""
    if failed:
        print(f"{gap}{len(failed)} of {len(checks)} checks failed: {options.bundle}")
        return 2
    print(f"{gap}all {len(checks)} checks passed: {options.bundle}")
    return 0
