"""docs/compare.md: its rules are those of the program, and its workflow's commands are sound."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import yaml
from docs_commands import blocks_of

from llm_export.compare.expression import parse
from llm_export.compare.gates import names_of
from llm_export.compare.rules import FIXED, WORSE
from llm_export.config.compose import Composer

PAGE = Path(__file__).parents[2] / "docs" / "compare.md"


def workflow_commands() -> Iterator[list[str]]:
    """The words after ``llm-export`` in the workflow's steps, without redirections."""
    (block,) = (b for b in blocks_of(PAGE) if b.language == "yaml")
    body = yaml.safe_load(block.text)
    assert body[True] == "pull_request"  # YAML 1.1 reads "on" so, and GitHub does not
    for step in body["jobs"]["compare"]["steps"]:
        assert ("uses" in step) != ("run" in step)
        for line in step.get("run", "").replace("\\\n", " ").splitlines():
            words = shlex.split(line)
            if words[0] == "llm-export":
                yield words[1 : words.index(">>") if ">>" in words else None]


def test_the_commands_of_the_workflow() -> None:
    verbs = []
    for words in workflow_commands():
        verbs.append(words[0])
        verb = importlib.import_module(f"llm_export.cli.{words[0]}")
        parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
        verb.add_arguments(parser)
        options = parser.parse_intermixed_args(words[1:])
        if words[0] == "run":
            _, *overrides = options.words
            Composer("smollm2_135m_xnnpack_8da8w").compose(overrides)
    assert verbs == ["run", "run", "compare"]


def test_every_condition_of_the_page_is_one() -> None:
    text = PAGE.read_text(encoding="utf-8")
    conditions = re.findall(r"--fail-if '([^']+)'", text)
    assert len(conditions) >= 6
    for condition in conditions:
        parse(condition, names_of([]))


def test_the_table_of_rules() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for title, name, condition in FIXED:
        assert f"| {title} | `{condition.format(name=name)}` |" in text
    assert f"`{WORSE.format(name='NAME')}` |" in text
