"""What this package adds to llm_export. It names modules and imports none of them: each is
imported when a recipe uses it, so that ``llm-export ls`` stays quick."""

from llm_export.plugins import Plugin

PLUGIN = Plugin(
    families={"helium": "llm_export_example.helium:FAMILY"},
    backends={"xnnpack_products": "llm_export_example.xnnpack_products:BACKEND"},
    transforms={"order_channels": "llm_export_example.order_channels:TRANSFORM"},
    checkpoint_readers={"npz": "llm_export_example.npz:READER"},
    metrics={"top5": "llm_export_example.top5:METRIC"},
    config="pkg://llm_export_example.conf",
    recipes="pkg://llm_export_example.recipes",
)
