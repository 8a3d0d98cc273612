"""Model definitions: the source of a model's code, our components or another library's."""

from llm_export.models.definitions.base import Definition
from llm_export.registry import Registry

DEFINITIONS: Registry[Definition] = Registry("model definition")
DEFINITIONS.register("composable", "llm_export.models.definitions.composable:DEFINITION")
DEFINITIONS.register("hf", "llm_export.models.definitions.hf:DEFINITION")
DEFINITIONS.register("torchtune", "llm_export.models.definitions.torchtune:DEFINITION")
