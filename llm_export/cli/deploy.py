"""Write a project for an app, with a bundle in it: small, complete, ready to build.

llm-export deploy outputs/smollm2_135m_xnnpack_8da8w --to cpp app
llm-export deploy outputs/smollm2_135m_xnnpack_8da8w --to cpp app --build
llm-export deploy outputs/smollm2_135m_xnnpack_8da8w --to android app --name Chat
llm-export deploy BUNDLE --to TARGET DIR --set KEY=VALUE

`llm-export ls apps` lists the targets. A bundle that a target cannot take is refused before
anything is written, with the change of the recipe that makes it fit.
"""

from __future__ import annotations

import argparse

from llm_export import api
from llm_export.cli.runtime_args import printable
from llm_export.cli.waiting import waiting
from llm_export.errors import RecipeError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundles", metavar="BUNDLE", nargs="+",
                        help="a folder that `llm-export run` made; several where the target "
                             "takes them")  # fmt: skip
    parser.add_argument("--to", nargs=2, required=True, metavar=("TARGET", "DIR"),
                        help="the platform, and the folder to create")  # fmt: skip
    parser.add_argument("--name", help="of the app; default: the bundle's name")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="an option of the target")  # fmt: skip
    parser.add_argument("--build", action="store_true", help="also build it here")


def run(options: argparse.Namespace) -> None:
    target, folder = options.to
    with waiting("building" if options.build else "writing the project"):
        done = api.deploy(
            options.bundles, target, folder,
            name=options.name, options=_pairs(options.set), build=options.build,
        )  # fmt: skip
    print(printable(f"{folder}: {done.files} files, {done.bytes / 1e6:.1f} MB"))
    for line in (*done.notes, *(done.built or ())):
        print(printable(line))
    if done.steps and done.built is None:
        print(printable(f"\nnext, in {folder}:"))
    for step in done.steps if done.built is None else done.steps[1:]:
        print(printable(f"  {step}"))


def _pairs(words: list[str]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise RecipeError(f"--set takes KEY=VALUE, not '{word}'", fix=f"--set {word}=VALUE")
    return dict(word.split("=", 1) for word in words)
