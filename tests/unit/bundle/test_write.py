"""The files that a bundle is made of, apart from its program."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from llm_export.bundle.roles import ROLES
from llm_export.bundle.write import write_tokenizer
from llm_export.checkpoints.folder_writer import tokenizer_config
from llm_export.checkpoints.random import RandomCheckpoint
from llm_export.stages.verification.source_check import CONVERSATIONS, TOOL
from llm_export.tokenizers.folder import read_tokenizer
from runtime_py.chat_template import ChatTemplate

PLAIN = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
TOOLS = "{{ tools | tojson }}" + PLAIN


def test_templates_are_where_transformers_looks_for_them(tmp_path: Path) -> None:
    assets = RandomCheckpoint(0, {"embed.weight": (320, 8)}).tokenizer()
    assets = replace(assets, chat_template=PLAIN, tool_use_template=TOOLS)
    write_tokenizer(tmp_path, assets)
    again = read_tokenizer(tmp_path)
    assert (again.chat_template, again.tool_use_template) == (PLAIN, TOOLS)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    tools: Any
    for role, tools in (("chat_template", None), ("tool_use_template", [TOOL])):
        ours = ChatTemplate((tmp_path / ROLES[role]).read_text(), assets.special_tokens)
        for talk in CONVERSATIONS:
            expected = theirs.apply_chat_template(list(talk), tools=tools, tokenize=False,
                                                  add_generation_prompt=True)  # fmt: skip
            assert ours.render(talk, tools=tools) == expected
    assert json.loads((tmp_path / ROLES["tokenizer_config"]).read_text())["chat_template"] == PLAIN


def test_one_template_is_one_file(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, RandomCheckpoint(0, {"embed.weight": (320, 8)}).tokenizer())
    assert not (tmp_path / ROLES["tool_use_template"]).parent.exists()


def test_ends_have_their_names_unless_a_template_would_change() -> None:
    assets = RandomCheckpoint(0, {"embed.weight": (320, 8)}).tokenizer()
    nameless = replace(assets, special_tokens={}, eos_ids=(65, 319))
    said = tokenizer_config(nameless)
    assert (said["bos_token"], said["eos_token"]) == (assets.special_tokens["bos_token"], "b")
    asking = replace(nameless, chat_template="{{ eos_token }}" + PLAIN)
    assert "eos_token" not in tokenizer_config(asking)
