"""Engines render in processes of their own, within limits, and say why they refuse."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import pytest

from llm_export.runner.stages import STAGES
from llm_export.stage_cache.keys import FACTS
from llm_export.template_engines import ENGINES, child, compare, huggingface_jinja, minijinja
from llm_export.template_engines.base import NOW, Missing, Rendering, TemplateEngine
from llm_export.template_engines.compare import compare_engines, difference
from llm_export.template_engines.conversations import Case, cases

HERE = Path(huggingface_jinja.__file__).parent
SAY = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
GIVEN: dict[str, Any] = {"messages": [{"role": "user", "content": "é 😀"}], "bos_token": "<s>"}


def engine(name: str) -> TemplateEngine:
    found = ENGINES.get(name)
    if (missing := found.missing()) is not None:
        pytest.skip(missing.reason)
    return found


@pytest.mark.parametrize("name", ENGINES.in_order())
def test_each_template_renders_each_case(name: str) -> None:
    sources = [SAY, "{{ raise_exception('not so') }}", "{% for %}",
               "{{ strftime_now('%Y-%m-%d') }}", "{{ messages | tojson }}"]  # fmt: skip
    found = engine(name).render(sources, [GIVEN, {**GIVEN, "messages": []}])
    assert [one.text for one in found[0]] == ["user: é 😀\n", ""]
    assert [one.text for rows in found[1:3] for one in rows] == [None] * 4
    assert "not so" in found[1][0].refusal
    assert all(one.refusal for one in found[2])
    assert found[3][0].text == f"{NOW:%Y-%m-%d}"
    assert found[4][0].text == '[{"role": "user", "content": "é 😀"}]'


BOMBS = {
    "huggingface_jinja": "{% set ns = namespace(a='xx') %}{% for i in range(60) %}"
    "{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
    "minijinja": "{{ ('x' * 100000000000)|length }}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_template_that_takes_all_memory_leaves_the_others(name: str) -> None:
    found = engine(name).render([SAY, BOMBS[name]], [GIVEN])
    assert found[0][0].text == "user: é 😀\n"
    assert found[1][0].text is None
    assert found[1][0].refusal


def test_a_template_that_takes_all_time_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "SECONDS", 0.7)
    slow = 'print(\'[0, 0, "a", ""]\', flush=True); import time; time.sleep(60)'
    found = child.rendered([sys.executable, "-I", "-S", "-c", slow], [SAY, SAY], [GIVEN])
    assert found == [[Rendering("a")], [Rendering(None, "it takes more than 0.7 s")]]


def test_node_runs_in_german_and_refuses_a_long_text() -> None:
    """In the language of a device that is not English."""
    long = "{% for i in range(101) %}" + "x" * 10_000 + "{% endfor %}"
    sources = ["{{ strftime_now('%B') }}", long]
    (month,), (text,) = engine("huggingface_jinja").render(sources, [GIVEN])
    assert month.text == "März"
    assert text == Rendering(None, "it makes more than 1000000 characters")


def test_an_engine_that_is_not_here_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(minijinja, "find_spec", lambda name: None)
    huggingface_jinja._node.cache_clear()
    try:
        rows = compare_engines([SAY], [Case("a", GIVEN, GIVEN)], [Rendering("user: é 😀\n")])
    finally:
        huggingface_jinja._node.cache_clear()
    assert [bool(row.results) for row in rows] == [True, False, False, False]
    assert rows[1].missing == Missing(
        "Node is not installed", "install Node 18 or later: nodejs.org"
    )
    assert rows[2].missing is not None
    assert rows[2].missing.fix == "pip install 'llm_export[templates]'"


def test_a_program_that_cannot_run_refuses_all() -> None:
    (texts,) = child.rendered(["/nowhere/node"], [SAY], [GIVEN, GIVEN])
    assert [one.text for one in texts] == [None, None]
    assert "the engine does not start" in texts[0].refusal


class Broken:
    title, used_by = "broken", "nothing"

    def missing(self) -> None:
        raise OSError("no such thing")


def test_an_engine_of_a_plugin_that_fails_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare.ENGINES, "get", lambda name: Broken())
    rows = compare_engines([SAY], [Case("a", GIVEN, GIVEN)], [Rendering("x")])
    assert {row.missing.reason for row in rows if row.missing} == {
        "it fails: OSError: no such thing"
    }


def test_differences_are_short() -> None:
    long = "a" * 100
    assert difference(f"{long} b\n", Rendering(f"{long}\n")) == (
        "…'aaaaaaaaaaaa b\\n' became …'aaaaaaaaaaaa\\n'"
    )
    assert difference("a", Rendering(None, "why")) == "refused: why"


def test_conversations_differ_in_what_apps_pass() -> None:
    found = cases({"bos_token": "<s>"})
    names = [case.name for case in found]
    assert len(set(names)) == len(names)
    passed = {case.name: set(case.passed) for case in found}
    assert passed["only messages"] == {"messages", "add_generation_prompt"}
    assert {"bos_token", "tools", "documents"} <= passed["question"]


def test_the_vendored_engine_is_the_one_that_is_said() -> None:
    readme = (HERE / "vendor" / "README.md").read_text(encoding="utf-8")
    assert f"@huggingface/jinja) {huggingface_jinja.VERSION}," in readme
    assert (HERE / "vendor" / "huggingface-jinja.mjs").stat().st_size < 150_000
    assert "MIT License" in (HERE / "vendor" / "LICENSE").read_text(encoding="utf-8")


def test_another_engine_makes_the_report_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Node is no package, whose version would be in each key."""
    value, none = FACTS["@engines"].value, cast(Any, None)
    before = value(none, none)
    assert before == value(none, none)
    there = ENGINES.get("huggingface_jinja").missing() is None
    lost = None if not there else Missing("no Node", "")
    monkeypatch.setattr(huggingface_jinja.HuggingFaceJinja, "missing", lambda _: lost)
    assert before != value(none, none)
    (report,) = (stage for stage in STAGES if stage.name == "report")
    assert "@engines" in report.reads
