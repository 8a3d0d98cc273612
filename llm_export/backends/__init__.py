"""Backends, by name. Importing this package imports neither torch nor ExecuTorch."""

from llm_export.backends.base import Backend
from llm_export.registry import Registry

BACKENDS: Registry[Backend] = Registry("backend")
BACKENDS.register("portable", "llm_export.backends.portable:BACKEND")
BACKENDS.register("xnnpack", "llm_export.backends.xnnpack:BACKEND")
