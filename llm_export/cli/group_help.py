"""Help of ``run --help``, and of ``run --help GROUP``: the options and keys of one group."""

from __future__ import annotations

import argparse

from llm_export.cli.layout import on_page
from llm_export.config.compose import Composer
from llm_export.config.reference import describe_group
from llm_export.config.schema import GROUPS


def print_groups(
    parser: argparse.ArgumentParser, word: str | None, overrides: list[str], config_dir: str | None
) -> int:
    composer = Composer(None, config_dir)
    if word in GROUPS:
        print(f"{word}: options\n")
        _print_options(composer, word)
        print(f"\n{word}: keys (override one as {word}.KEY=VALUE)\n")
        for key, kind, text in describe_group(word):
            print(f"  {word}.{key}  ({kind})")
            if text:
                print("\n".join(on_page("", text, 5)))
        return 0
    parser.print_help()
    print("\nConfig groups (choose one as GROUP=OPTION; llm-export run --help GROUP says more):")
    for group in GROUPS:
        print("\n".join(on_page(f"  {group}:", ", ".join(composer.options(group)), 13)))
    print("\nRecipes:")
    for name in composer.options(""):
        print(f"  {name}")
    return 0


def _print_options(composer: Composer, group: str) -> None:
    names = composer.options(group)
    width = max(map(len, names))
    for name in names:
        print("\n".join(on_page(f"  {name}", composer.describe(group, name)[0], width + 3)))
