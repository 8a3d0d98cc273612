"""Write the files of a packed bundle to a folder, each as its manifest says.

llm-export unpack smollm2.llmbundle            to the folder smollm2 beside it
llm-export unpack smollm2.llmbundle FOLDER

Archives that other tools made of a bundle's files are taken too. Members that lead out of the
folder, links, two of one name and files that are longer than the manifest says are refused, and
nothing is left of what was written.
"""

from __future__ import annotations

import argparse

from llm_export import api
from llm_export.cli.runtime_args import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a file of `llm-export pack`")
    parser.add_argument("folder", metavar="FOLDER", nargs="?",
                        help="absent or empty; default: beside the file")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    found = api.unpack(options.file, options.folder)
    for name, size in found.files.items():
        print(printable(f"  {size:>13,} bytes  {name}"))
    if found.left_out:
        print(printable(f"left out, not in the manifest: {', '.join(found.left_out[:5])}"))
    if found.note:
        print(f"note: the archive cannot be loaded as it is: {found.note.partition(': ')[2]}")
    print(f"unpacked: {found.folder}")
