"""Plugins: families, backends, transforms, checkpoint readers, metrics, options and recipes.

A distribution declares a ``Plugin`` in the entry-point group ``llm_export.plugins``. A plugin
folder contains options and recipes, and code in ``plugin.py`` if it is the user's own. See
docs/plugins.md.

    from llm_export.plugins import Plugin
    PLUGIN = Plugin(backends={"mine": "my_package.backend:BACKEND"}, config="pkg://my_package.conf")
"""

from llm_export.plugins.declare import Plugin

__all__ = ["Plugin"]
