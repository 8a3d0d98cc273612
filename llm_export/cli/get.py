"""Fetch a shared recipe into the library. None of its contents are executed.

  llm-export get hf:ORG/NAME@REVISION
  llm-export get git+https://HOST/ORG/REPOSITORY@REVISION#FOLDER
  llm-export get recipe.tar.gz                a .zip, .tar.gz, folder or .yaml
  llm-export get --list                       what the library holds

It shows the recipe's files, origin and choices, and asks before writing. The library is
$XDG_DATA_HOME/llm_export/recipes; XDG_DATA_HOME defaults to ~/.local/share.
"""

from __future__ import annotations

import argparse
import sys

from llm_export import api
from llm_export.api import Offer
from llm_export.cli.runtime_args import printable
from llm_export.config.library import library_folder
from llm_export.errors import RecipeError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        help="hf:ORG/NAME@REVISION, git+URL@REVISION, archive, folder",
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    parser.add_argument("--library", metavar="DIR", help="another library")
    parser.add_argument("--list", action="store_true", help="list what the library holds")


def run(options: argparse.Namespace) -> int:
    if options.list:
        return _list(options.library)
    if options.source is None:
        raise RecipeError("nothing was named to fetch", fix="llm-export get --help")

    own_weights = False

    def confirm(offer: Offer) -> bool:
        nonlocal own_weights
        own_weights = any(entry.recipe.checkpoint.path is not None for entry in offer.found)
        _show(offer)
        return options.yes or _confirmed()

    done = api.get(options.source, options.library, confirm=confirm)
    if done is None:
        print("nothing was written")
        return 1
    print(f"\nwritten: {done.place}")
    weights = " checkpoint.path=PATH" if own_weights else ""
    for recipe in done.recipes:
        print(f"run it:  llm-export run {recipe}{weights}")
    if done.lock is not None:
        print(f"the same program, bit by bit:  llm-export run {done.lock}")
    return 0


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        raise RecipeError(
            "nothing was written: there is no terminal to ask on", fix="the same command with --yes"
        )
    try:
        return input("\nwrite these files into the library? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _show(offer: Offer) -> None:
    from llm_export.sharing.examine import weights_of
    from llm_export.sharing.members import PAGE

    fetched, former = offer.fetched, offer.former
    rows = [
        ("origin", fetched.origin),
        ("revision", fetched.revision or "(a folder has none)"),
        ("digest", f"sha256 {offer.digest}"),
        ("checked", "every file against share.json" if fetched.index else
         "there is no share.json to check the files against"),
        ("goes to", str(offer.place)),
    ]  # fmt: skip
    if former is not None:
        same = former["digest"] == offer.digest
        revision = str(former.get("revision") or former["digest"])[:12]
        rows.append(("replaces", "the same files" if same else f"revision {revision}"))
    _print_rows(rows)
    print("\nfiles")
    for name, data in sorted(fetched.files.items()):
        print(f"  {len(data):>9,} bytes  {printable(name)}")
    if fetched.index and PAGE in fetched.index["files"]:
        print(f"  {PAGE} is left where it is: a page may hold any script")
    for entry in offer.found:
        recipe = entry.recipe
        print(f"\nrecipe {printable(entry.file)}")
        context = recipe.runtime.context_length or "as the model allows"
        _print_rows(
            [
                ("  says", recipe.description[:300].replace("\n", " ") or "-"),
                ("  model", f"{recipe.model.name} ({recipe.model.family})"),
                ("  weights", weights_of(recipe.checkpoint)),
                ("  quant", recipe.quant.name),
                ("  backend", "+".join([recipe.backend.name, *recipe.backend.fallbacks])),
                ("  runtime", f"{recipe.runtime.name}, context {context}"),
                ("  verify", recipe.verify.name if recipe.verify.enabled else "off"),
            ]
        )


def _print_rows(rows: list[tuple[str, str]]) -> None:
    for name, value in rows:
        print(f"{name:<10} {printable(str(value)).replace(chr(10), ' ')}")


def _list(library: str | None) -> int:
    names = api.fetched(library)
    for name in names:
        print(name)
    print(f"{len(names)} in {library or library_folder()}")
    return 0
