"""Model definitions: the source of a model's code, our components or another library's.

A task of ``models.task`` names the registry of its own.
"""

from llm_export.models.definitions.base import Definition
from llm_export.registry import Registry

DEFINITIONS: Registry[Definition] = Registry("model definition")
DEFINITIONS.register("composable", "llm_export.models.definitions.composable:DEFINITION")
DEFINITIONS.register("hf", "llm_export.models.definitions.hf:DEFINITION")
DEFINITIONS.register("torchtune", "llm_export.models.definitions.torchtune:DEFINITION")

VISION_DEFINITIONS: Registry[Definition] = Registry("model definition")
"""Of decoders with a vision tower."""
VISION_DEFINITIONS.register("composable", "llm_export.models.vision.definition:DEFINITION")
VISION_DEFINITIONS.register("hf", "llm_export.models.vision.library.definition:DEFINITION")

PROGRAM_DEFINITIONS: Registry[Definition] = Registry("model definition")
"""Of encoders and encoder–decoders."""
PROGRAM_DEFINITIONS.register("composable", "llm_export.models.programs.definition:DEFINITION")
PROGRAM_DEFINITIONS.register("hf", "llm_export.models.programs.library:DEFINITION")
