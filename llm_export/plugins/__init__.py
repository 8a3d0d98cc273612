"""What others add: families, backends, transforms, checkpoint readers, options and recipes.

A distribution names a ``Plugin`` in the entry-point group ``llm_export.plugins``; a folder holds
options and recipes, and code in a ``plugin.py`` if it is the user's own. See docs/plugins.md.

    from llm_export.plugins import Plugin
    PLUGIN = Plugin(backends={"mine": "my_package.backend:BACKEND"}, config="pkg://my_package.conf")
"""

from llm_export.plugins.declare import Plugin

__all__ = ["Plugin"]
