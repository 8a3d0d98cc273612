"""torchtune's builders of decoders, which take sizes as arguments; its public builders are of one
published size each. Imports nothing. Written for torchtune 0.6.1."""

from __future__ import annotations

BUILDERS = {
    "llama": "torchtune.models.llama3_2._component_builders:llama3_2",
    "mistral": "torchtune.models.mistral._component_builders:mistral",
    "qwen2": "torchtune.models.qwen2._component_builders:qwen2",
    "phi3": "torchtune.models.phi3._component_builders:phi3",
    "gemma2": "torchtune.models.gemma2._component_builders:gemma2",
}
"""Family -> "module:function"."""
