"""Warnings about broken plugins, printed before a command runs."""

from __future__ import annotations

import sys


def warn(config_dir: str | None = None) -> None:
    """Activate the plugins, and print a warning on standard error for each one that is skipped.

    Name clashes are not reported here: composing a recipe raises an error for them.
    """
    import llm_export.plugins_registration  # noqa: F401 - registries that plugins add to
    from llm_export.plugins.active import activate, registry_clashes

    for provider in activate(config_dir):
        if provider.error:
            print(f"warning: plugin {label(provider.name, provider.origin)} is skipped: "
                  f"{provider.error}", file=sys.stderr)  # fmt: skip
    for clash in registry_clashes():
        print(f"warning: {clash}", file=sys.stderr)


def label(name: str, origin: str) -> str:
    """Display name of a plugin: its origin, with its name if that is not the distribution's."""
    return origin if name.replace("-", "_") == origin.partition(" ")[0] else f"'{name}' ({origin})"
