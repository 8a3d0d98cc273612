"""Versions of the distributions that plugins come from."""

from __future__ import annotations

from llm_export.plugins.active import activate


def plugin_versions() -> dict[str, str]:
    """Version of each distribution whose plugin contains code."""
    return {
        provider.distribution: provider.version
        for provider in activate()
        if provider.distribution and provider.plugin and any(provider.plugin.targets())
    }
