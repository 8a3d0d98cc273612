"""Plugins that are broken, said in a line each before a verb begins."""

from __future__ import annotations

import sys


def warn(config_dir: str | None = None) -> None:
    """Activate plugins, and name those that are skipped on standard error.

    Names that two claim are an error of whatever composes a recipe, which says so itself.
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
    """A plugin for people: its name where it is not the distribution's."""
    return origin if name.replace("-", "_") == origin.partition(" ")[0] else f"'{name}' ({origin})"
