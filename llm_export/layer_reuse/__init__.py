"""Lower a few layers of a model, and repeat them for the others.

Layers of one kind are the same graph with other weights. ``plan`` chooses the layers that are
exported; ``units`` finds in the lowered graph what belongs to each; ``stamp`` writes the graph
of the whole model with them, ``weights`` says what to put in place of their weights. Whatever
does not repeat raises ``LayersDiffer``, and the model is lowered whole.
"""

from llm_export.layer_reuse.plan import LayerPlan, LayersDiffer, plan_layers

__all__ = ["LayerPlan", "LayersDiffer", "plan_layers"]
