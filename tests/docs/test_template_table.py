"""The table of chat templates in engines is what the engines make of them.

LLM_EXPORT_WRITE_DOCS=1 pytest -m "slow or not slow" tests/docs/test_template_table.py   writes it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chat_templates import TEMPLATES

from llm_export.template_engines import ENGINES
from llm_export.template_engines.base import Rendering
from llm_export.template_engines.conversations import Case, cases
from llm_export.template_engines.portable import reference, rewritten
from llm_export.template_engines.rewriting import RULES

PAGE = Path(__file__).parents[2] / "docs" / "chat-templates.md"
FAMILIES = {
    "Llama 3.2": "llama3_tools", "Qwen3": "qwen3", "Qwen3.5": "qwen3_5", "Qwen2.5": "qwen25",
    "Gemma 3": "gemma3", "SmolLM2": "smollm2", "SmolLM3": "smollm3", "Mistral": "mistral_tools",
    "Phi-4-mini": "phi4_mini", "LFM2": "lfm2", "Granite 3": "granite", "DeepSeek R1": "deepseek",
    "gpt-oss": "gpt_oss", "Hermes": "hermes_tools", "Command R": "command_r",
}  # fmt: skip
"""Name -> the template in ``tests/chat_templates.py``, rebuilt from the published one."""
SPECIALS = {"bos_token": "<|begin|>", "eos_token": "<|end|>"}
OTHERS = ("huggingface_jinja", "minijinja", "litert_lm")


def table() -> str:
    conversations = cases(SPECIALS)
    expected, sources, rules = {}, [], {}
    for family, name in FAMILIES.items():
        expected[family] = reference(TEMPLATES[name], conversations)
        found = rewritten(TEMPLATES[name], SPECIALS, conversations, expected[family])
        sources += [TEMPLATES[name], found.source]
        rules[family] = found.rules
    made = {
        name: ENGINES.get(name).render(sources, [case.passed for case in conversations])
        for name in OTHERS
    }
    titles = [ENGINES.get(name).title for name in OTHERS]
    lines = [f"| template | Jinja2 | {' | '.join(titles)} | rules |", "|---|---|---|---|---|---|"]
    for at, family in enumerate(FAMILIES):
        counts = [
            [
                same(texts, expected[family], conversations)
                for texts in made[name][2 * at : 2 * at + 2]
            ]
            for name in OTHERS
        ]
        cells = [str(a) if a == b else f"{a} → {b}" for a, b in counts]
        of = same(expected[family], expected[family], conversations)
        named = ", ".join(f"`{rule}`" for rule in rules[family] if rule != "line_ends") or "–"
        lines.append(f"| {family} | {of} | {' | '.join(cells)} | {named} |")
    return "\n".join(lines) + "\n"


def same(texts: list[Rendering], expected: list[Rendering], conversations: list[Case]) -> int:
    return sum(
        a.text == b.text
        for a, b, case in zip(texts, expected, conversations, strict=True)
        if b.text is not None and not (case.unless and case.unless in b.text)
    )


def rules_table() -> str:
    lines = ["| rule | why |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{rule.name}` | {rule.why} |" for rule in RULES)]) + "\n"


def parts(text: str, name: str) -> tuple[str, str, str]:
    """(before, between, after) the marks around a table."""
    before, _, rest = text.partition(f"<!-- {name} -->\n")
    found, _, after = rest.partition(f"<!-- end of {name} -->\n")
    return f"{before}<!-- {name} -->\n", found, f"<!-- end of {name} -->\n{after}"


def check(name: str, expected: str) -> None:
    before, found, after = parts(PAGE.read_text(encoding="utf-8"), name)
    if os.environ.get("LLM_EXPORT_WRITE_DOCS"):
        PAGE.write_text(before + expected + after, encoding="utf-8")
        return
    assert found == expected


def test_the_page_lists_the_rules() -> None:
    check("rules", rules_table())


@pytest.mark.slow
def test_the_page_says_what_engines_make_of_templates() -> None:
    for name in OTHERS:
        if (missing := ENGINES.get(name).missing()) is not None:
            pytest.skip(missing.reason)
    check("families", table())
