"""Metrics for the difference between two models, by name. Importing this package does not import
torch.
"""

from llm_export.metrics.base import Metric
from llm_export.registry import Registry

METRICS: Registry[Metric] = Registry("metric", needs=("name", "start"))

METRICS.register("kl", "llm_export.metrics.kl:METRIC")
METRICS.register("top1", "llm_export.metrics.top1:METRIC")
METRICS.register("logit_diff", "llm_export.metrics.logit_diff:METRIC")
METRICS.register("perplexity", "llm_export.metrics.perplexity:METRIC")


def metrics() -> list[Metric]:
    """All metrics, in order of registration."""
    return [METRICS.get(name) for name in METRICS.in_order()]
