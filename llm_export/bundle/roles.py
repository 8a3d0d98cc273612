"""The names of a bundle's files, by role."""

from __future__ import annotations

ROLES = {
    "program": "model.pte",
    "profile_map": "profile_map.json",
    "etrecord": "etrecord.bin",
    "tokenizer": "tokenizer.json",
    "tokenizer_config": "tokenizer_config.json",
    "chat_template": "chat_template.jinja",
    "tool_use_template": "additional_chat_templates/tool_use.jinja",
    "generation_config": "generation_config.json",
    "quant_auto": "quant_auto.yaml",
    "quant_sensitivity": "quant_sensitivity.csv",
    "processor": "processor.json",
    "recipe": "recipe.yaml",
    "lock": "recipe.lock.yaml",
    "parity": "parity.json",
    "benchmark": "benchmark.json",
    "speed": "speed.json",
    "evaluation": "evaluation.json",
    "profile": "profile.json",
    "answers": "answers.json",
    "report": "report.md",
    "page": "report.html",
    "selected_operators": "selected_operators.yaml",
    "adapter_layout": "adapters/layout.json",
}
"""Role -> file name. A role whose file is not there is left out of the manifest."""
