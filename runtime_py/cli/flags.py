"""Flags that name a bundle and set sampling, for ``python -m runtime_py``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime_py import LLM

_SAMPLING: dict[str, tuple[type, str]] = {
    "max_new_tokens": (int, "length of an answer, at most"),
    "temperature": (float, "0 is greedy"),
    "top_k": (int, "0 is off"),
    "top_p": (float, "1 is off"),
    "min_p": (float, "0 is off"),
    "repetition_penalty": (float, "1 is off"),
    "seed": (int, "makes sampling reproducible"),
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle", metavar="BUNDLE", help="a folder, a packed file, or ORG/NAME on the hub"
    )
    for name, (kind, text) in _SAMPLING.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N", help=text)
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT",
                        help="end the answer before this text; may be repeated")  # fmt: skip
    parser.add_argument("--threads", type=int, metavar="N", help="default: ExecuTorch's choice")
    parser.add_argument("--adapter", metavar="NAME", help="LoRA adapter, or base for none")
    parser.add_argument("--stats", action="store_true", help="tokens and speed, on stderr")


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of ``LLM.stream``: those that were given."""
    given = {name: getattr(options, name) for name in _SAMPLING}
    found = {name: value for name, value in given.items() if value is not None}
    return {**found, "stop": options.stop}


def loaded(options: argparse.Namespace) -> LLM:
    from runtime_py import LLM

    return LLM.load(options.bundle, threads=options.threads, adapter=options.adapter)
