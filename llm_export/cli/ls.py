"""List recipes and the options of each group.

llm-export ls                 everything; of long lists, the names only
llm-export ls recipes         or models, quants, backends, runtimes, ...: with descriptions and
                              who brings each, if not llm_export: a plugin, a folder, or where
                              `llm-export get` fetched it from
llm-export ls plugins         what extends this program; llm-export doctor tries it out
llm-export ls backends --json for programs: {KIND: [{name, text, origin}]}
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from llm_export import api
from llm_export.api import KINDS, Row
from llm_export.cli.layout import on_page
from llm_export.cli.runtime_args import printable
from llm_export.errors import MANY
from llm_export.registry import OWN


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", help=", ".join(KINDS))
    parser.add_argument("--config-dir", "-cd", metavar="DIR",
                        help="a further folder with recipes and options")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> None:
    found = api.ls(options.what, options.config_dir)
    if options.json:
        print(
            json.dumps({one.kind: [asdict(row) for row in one.rows()] for one in found}, indent=2)
        )
        return
    for listing in found:
        kind, names = listing.kind, listing.names
        if options.what is None and len(names) > MANY:
            print(f"{kind} (llm-export ls {kind} describes them)")
            print("\n".join(on_page(" ", "  ".join(map(printable, names)), 1)))
        else:
            print(kind)
            _print_rows(listing.rows(), origins=options.what is not None)


def _print_rows(rows: list[Row], origins: bool) -> None:
    width = max((len(row.name) for row in rows), default=0)
    if not rows:
        print("  none")
    for row in rows:
        foreign = origins and row.origin not in ("", OWN)
        origin = f"  [{printable(row.origin)}]" if foreign else ""
        text = f"{printable(row.text)}{origin}"
        print("\n".join(on_page(f"  {printable(row.name)}", text, width + 3)))
