"""Print the versions of this program and of what it builds on."""

from __future__ import annotations

import argparse

from llm_export import api


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(options: argparse.Namespace) -> None:
    versions = api.version()
    width = max(map(len, versions))
    for name, value in versions.items():
        print(f"{name:<{width}}  {value}")
