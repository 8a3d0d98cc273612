"""Write a bundle to one file, a zip archive that is a program too.

llm-export pack outputs/smollm2_135m_xnnpack_8da8w               beside the folder, as .llmbundle
llm-export pack outputs/smollm2_135m_xnnpack_8da8w app/smollm2.llmbundle
llm-export pack outputs/smollm2_135m_xnnpack_8da8w --layout etm  with metadata.json

Commands that only read a bundle take the file (adapt, deploy and share need its folder), and
ExecuTorch loads it by its path, without unpacking and without a copy in memory. The files that the
manifest lists are packed, uncompressed, and compared with their digests. The same bundle gives the
same bytes.
"""

from __future__ import annotations

import argparse

from llm_export import api
from llm_export.cli.runtime_args import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE", help="a folder that `llm-export run` made")
    parser.add_argument("file", metavar="FILE", nargs="?",
                        help="default: beside the folder, with its name")  # fmt: skip
    parser.add_argument("--layout", metavar="NAME", default="bundle",
                        help="bundle (default); etm: with the metadata.json of ExecuTorch's RFC "
                        "#17640")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    packed = api.pack(options.bundle, options.file, layout=options.layout)
    for name, size in packed.files.items():
        print(f"  {size:>13,} bytes  {printable(name)}")
    if packed.left_out:
        names = ", ".join(packed.left_out[:5])
        more = f" and {len(packed.left_out) - 5} more" if len(packed.left_out) > 5 else ""
        print(printable(f"left out, not in the manifest: {names}{more}"))
    print(f"packed: {packed.path} ({packed.bytes:,} bytes)")
