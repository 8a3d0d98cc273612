"""Runtimes whose artifacts can be measured beside a bundle, by name."""

from llm_export.registry import Registry
from llm_export.runtimes.base import Runtime

RUNTIMES: Registry[type[Runtime]] = Registry("runtime", needs=("package", "accepts"))

RUNTIMES.register("bundle", "llm_export.runtimes.bundle:RUNTIME")
RUNTIMES.register("executorch", "llm_export.runtimes.program:RUNTIME")
RUNTIMES.register("runner", "llm_export.runtimes.runner:RUNTIME")
RUNTIMES.register("llama.cpp", "llm_export.runtimes.llama_cpp:RUNTIME")
RUNTIMES.register("onnxruntime-genai", "llm_export.runtimes.onnxruntime_genai:RUNTIME")
RUNTIMES.register("openvino-genai", "llm_export.runtimes.openvino_genai:RUNTIME")
RUNTIMES.register("ctranslate2", "llm_export.runtimes.ctranslate2:RUNTIME")
RUNTIMES.take_from_plugins("runtimes")
