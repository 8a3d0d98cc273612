"""Divide the time of a step of a bundle among the modules of the model.

llm-export profile outputs/smollm2_135m_xnnpack_8da8w                 one token, empty cache
llm-export profile outputs/smollm2_135m_xnnpack_8da8w --depth 1500     after 1,500 tokens
llm-export profile outputs/smollm2_135m_xnnpack_8da8w --phase prefill  a step of a prompt
llm-export profile outputs/smollm2_135m_xnnpack_8da8w --size          bytes, without running it
llm-export profile outputs/whisper_tiny --phase encoder                a method of the program

ExecuTorch's tracer records each instruction, and delegates that can do so each of their operators;
profile_map.json of the bundle names the modules.
"""

from __future__ import annotations

import argparse
import json
import sys

from llm_export import api
from llm_export.cli.runtime_args import add_adapter
from llm_export.cli.waiting import waiting


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("--phase", metavar="PHASE",
                        help="decode: one token; prefill: several; or a method of a program that "
                        "has several, such as encoder; default decode, or the "
                        "only method")  # fmt: skip
    parser.add_argument("--depth", type=int, default=0, metavar="N",
                        help="tokens in the caches before the step; default 0")  # fmt: skip
    parser.add_argument("--tokens", type=int, metavar="N", help="of a prefill step")
    parser.add_argument("--threads", type=int, metavar="N")
    parser.add_argument("--layers", action="store_true", help="each layer, instead of their sum")
    parser.add_argument("--size", action="store_true",
                        help="the bytes of the weights by module; runs nothing")  # fmt: skip
    add_adapter(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of tables")
    form.add_argument("--csv", action="store_true", help="print a CSV line for each operator")


def run(options: argparse.Namespace) -> None:
    from llm_export.profile import words

    if options.size:
        _print_sizes(api.weight_sizes(options.bundle), options)
        return
    with waiting(f"measuring {options.bundle}"):
        found = api.profile(
            options.bundle, phase=options.phase, depth=options.depth, tokens=options.tokens,
            threads=options.threads, adapter=options.adapter,
        )  # fmt: skip
    if options.json:
        print(json.dumps(found.as_dict(), indent=2))
    elif options.csv:
        sys.stdout.write(words.csv_text(found))
    else:
        print(found.summary, "", *words.heading(found), "", sep="\n")
        print(*words.columns(words.kind_rows(found)), "", sep="\n")
        print(*words.columns(words.module_rows(found, each=options.layers)), sep="\n")


def _print_sizes(sizes: dict[str, int], options: argparse.Namespace) -> None:
    from llm_export.profile import words

    rows = words.size_rows(sizes)
    if options.json:
        print(json.dumps(sizes, indent=2))
    elif options.csv:
        print("module,bytes", *(f"{path},{size}" for path, size in sizes.items()), sep="\n")
    else:
        print(*words.columns(rows), sep="\n")
