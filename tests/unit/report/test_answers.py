"""Questions to a bundle whose chat template refuses some of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_export.bundle.chat_format import SYSTEM
from llm_export.pipeline.summary import Answer
from llm_export.report.answers import Asked, agreement, ask, other_end

TURNS = "{% for m in messages %}{{ m.role ~ m.content }}{% endfor %}"
Bundle = Callable[[str], Path]


@pytest.fixture
def bundle_with(portable_bundle: Path, tmp_path: Path) -> Bundle:
    """bundle_with(template) -> a bundle with this chat template."""

    def make(template: str) -> Path:
        bundle = tmp_path / "bundle"
        bundle.mkdir()
        for file in portable_bundle.iterdir():
            if file.name not in ("manifest.json", "chat_template.jinja"):
                (bundle / file.name).symlink_to(file)
        manifest = json.loads((portable_bundle / "manifest.json").read_text())
        manifest["files"]["chat_template.jinja"] = {
            "bytes": len(template), "sha256": hashlib.sha256(template.encode()).hexdigest(),
        }  # fmt: skip
        (bundle / "manifest.json").write_text(json.dumps(manifest))
        (bundle / "chat_template.jinja").write_text(template)
        return bundle

    return make


def test_a_question_is_asked_after_a_system_message_if_needed(bundle_with: Bundle) -> None:
    refuses = "{% if messages[0].role != 'system' %}{{ raise_exception('no system') }}{% endif %}"
    (asked,) = ask(bundle_with(refuses + TURNS), ["Hi?"], 4)
    answer = asked.answer
    assert (answer.system, answer.problem) == (SYSTEM, None)
    assert answer.answer
    assert (answer.tokens, len(asked.made)) == (4, 4)


def test_each_question_is_refused_for_itself(bundle_with: Bundle) -> None:
    refuses = "{% if 'b' in messages[0].content %}{{ raise_exception('no b') }}{% endif %}"
    asked = ask(bundle_with(refuses + TURNS), ["a" * 3000, "b", "c"], 4)
    long, refused, answered = (each.answer for each in asked)
    assert "the prompt has 3004 tokens" in str(long.problem)
    assert refused.problem is None  # it is asked after a system message
    assert refused.system == SYSTEM
    assert (answered.problem, answered.system) == (None, None)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('closed today') }}", "refuses these messages: closed today"),
        ("{% if %}", "the chat template is not valid"),
        ("", "the prompt is empty"),
    ],
)
def test_what_cannot_be_asked_has_a_reason(bundle_with: Bundle, template: str, words: str) -> None:
    answers = [each.answer for each in ask(bundle_with(template), ["a", "b"], 4)]
    assert all(words in str(answer.problem) for answer in answers)
    assert [answer.question for answer in answers] == ["a", "b"]


def test_a_bundle_that_cannot_be_loaded_answers_nothing(tmp_path: Path) -> None:
    expected = "this is not a bundle: it has no manifest.json"
    assert ask(tmp_path, ["a"], 4) == (Asked(Answer("a", "", problem=expected)),)
    assert ask(tmp_path, [], 4) == ()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((None, None), "2 of 2 as the float32 model answers"),
        ((3, None), "1 of 2 as the float32 model answers, the other up to token 3"),
        ((3, 0, 9), "0 of 3 as the float32 model answers, the others up to token 3, 0 and 9"),
        ((), ""),
    ],
)
def test_agreement_names_where_answers_part(parts: tuple[int | None, ...], said: str) -> None:
    answers = [Answer("q", "a", reference="b", parts_at=at, tokens=9) for at in parts]
    assert agreement([*answers, Answer("not compared", "a")]) == said


@pytest.mark.parametrize(
    ("answer", "reference", "end"),
    [("a red car", "a red cat", "cat"), ("It is", "It is so.", "is so."), ("x", "y z", "y z"),
     ("It is so.", "It is", "")],
)  # fmt: skip
def test_the_other_end_begins_with_a_whole_word(answer: str, reference: str, end: str) -> None:
    assert other_end(Answer("q", answer, reference, parts_at=1)) == end
