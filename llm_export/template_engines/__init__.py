"""Engines that render chat templates in apps, and templates that all of them render alike.

`docs/chat-templates.md` says how they differ.
"""

from llm_export.registry import Registry
from llm_export.template_engines.base import TemplateEngine

ENGINES: Registry[TemplateEngine] = Registry(
    "template engine", needs=("title", "used_by", "missing", "version", "render")
)
for _name in ("jinja2", "huggingface_jinja", "minijinja", "litert_lm"):
    ENGINES.register(_name, f"llm_export.template_engines.{_name}:ENGINE")
ENGINES.take_from_plugins("template_engines")

NOT_TRIED = {
    "swift-jinja": "the engine of swift-transformers on iOS; it is a Swift package",
    "minja": "the engine of llama.cpp until 2025; it is a C++ header",
    "llama.cpp's own": "the engine of llama.cpp since 2026; it is part of its C++ library",
}
"""Engines of apps that no check runs -> why."""
