"""Print the versions of llm-export and its dependencies."""

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
