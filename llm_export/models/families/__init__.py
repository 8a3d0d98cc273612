"""Model families: facts that turn a config and a checkpoint into a decoder."""

from llm_export.models.families.facts import Family
from llm_export.registry import Registry

FAMILIES: Registry[Family] = Registry("model family")
FAMILIES.register("llama", "llm_export.models.families.llama:FAMILY")
