"""Lower a few layers of a model and clone them for the others.

Layers of one kind have the same graph with different weights. ``plan`` selects the layers to
export, ``layer_graphs`` splits the lowered graph by layer, ``clone`` builds the graph of the whole
model from these parts, and ``weights`` supplies the weights of each layer. If layers differ,
``LayersDiffer`` is raised and the whole model is lowered.
"""

from llm_export.layer_reuse.plan import LayerPlan, LayersDiffer, plan_layers

__all__ = ["LayerPlan", "LayersDiffer", "plan_layers"]
