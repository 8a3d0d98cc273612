"""Chat templates render as transformers renders them, or are refused with a clear word."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from enum import Enum
from typing import Any, Literal, Optional, Union

import chat_conversations
import pytest
from chat_conversations import CONVERSATIONS
from chat_templates import TEMPLATES
from transformers import PreTrainedTokenizerFast
from transformers.utils import get_json_schema

from llm_export.checkpoints.random import RandomCheckpoint
from runtime_py import BundleRuntimeError
from runtime_py.chat_template import ChatTemplate
from runtime_py.tool_schema import function_schema

SPECIALS = {"bos_token": "<|begin|>", "eos_token": "<|end|>"}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(RandomCheckpoint(0, {"embed.weight": (320, 8)}).tokenizer().tokenizer_json)
    return PreTrainedTokenizerFast(tokenizer_file=str(path), **SPECIALS)


@pytest.mark.parametrize("family", TEMPLATES)
def test_prompts_are_those_of_transformers(theirs: Any, family: str) -> None:
    source = TEMPLATES[family]
    template, rendered = ChatTemplate(source, SPECIALS), 0
    for name, given in CONVERSATIONS.items():
        told = {"add_generation_prompt": True, **given}
        messages = told.pop("messages")
        try:
            expected = theirs.apply_chat_template(
                messages, chat_template=source, tokenize=False, **told
            )
        except Exception:
            with pytest.raises(BundleRuntimeError, match="the chat template refuses"):
                template.render(messages, **told)
            continue
        assert template.render(messages, **told) == expected, name
        rendered += 1
    assert rendered >= 3


def test_every_conversation_renders_somewhere() -> None:
    for given in CONVERSATIONS.values():
        told = dict(given)
        messages = told.pop("messages")
        ChatTemplate(TEMPLATES["nemotron"], SPECIALS).render(messages, **told)


class Unit(Enum):
    celsius = "C"
    kelvin = "K"


class Holder:
    def method(self, a: int) -> None:
        """
        A method.

        Args:
            a: one
        """


def many(
    a: int,
    b: Optional[str],  # noqa: UP045
    c: Literal["x", 1],
    d: list[dict[str, float]],
    e: tuple[int, str],
    f: Union[int, float, None],  # noqa: UP007
    g: Unit,
    h: Any,
    i: dict | None = None,
    j: list = [],  # noqa: B006
    k: int | list[str] = 0,
) -> Unit:
    """Does much.

    More of it.

    Args:
        a: the first: it has a colon
        b: the second,
            over two lines

        c: third
        d (list): not an argument's line for every parser
        d: fourth
        e: fifth
        f: sixth (choices: [1, 2.5])
        g: seventh
        h: eighth
        i: ninth
        j: tenth
        k: eleventh

    Returns:
        a unit
    Raises:
        ValueError: never
    """
    raise ValueError


def nothing() -> Holder:
    """Takes nothing."""
    return Holder()


@pytest.mark.parametrize("tool", [chat_conversations.weather, many, nothing, Holder().method])
def test_schemas_of_functions_are_those_of_transformers(tool: Callable[..., Any]) -> None:
    assert json.dumps(function_schema(tool)) == json.dumps(get_json_schema(tool))


def undocumented(a: int) -> None: ...


def untyped(a, b: int = 1):  # type: ignore[no-untyped-def]
    """Args:
    a: x
    b: y
    """


def undescribed(a: int) -> None:
    """Something."""


def own_type(a: Holder) -> None:
    """X.

    Args:
        a: one
    """


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ([undocumented], "'undocumented' has no docstring"),
        ([untyped], "'untyped' has no type hint for 'a'"),
        ([undescribed], "'undescribed' does not describe 'a'"),
        ([own_type], "a type hint without a JSON type"),
        ([3], "must be a function or a JSON schema, not int"),
        (undescribed, "must be a list"),
        ({"type": "function"}, "must be a list of functions or JSON schemas, not dict"),
    ],
)
def test_tools_that_are_none_are_named(tools: Any, words: str) -> None:
    with pytest.raises(BundleRuntimeError, match=words):
        ChatTemplate("", {}).render([{"role": "user", "content": "x"}], tools=tools)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ("hello", "must be a list of messages, not str"),
        ({"role": "user", "content": "x"}, "must be a list of messages, not dict"),
        (None, "must be a list of messages, not NoneType"),
        (["hello"], "a message must be a dict, not str"),
        ([{"role": "user"}], "needs 'role' and 'content'"),
        ([{"content": "x", 3: 4}], "needs 'role' and 'content'"),
        ([{"role": 3, "content": "x"}], "role must be a text, not 3"),
        ([{"role": "user", "content": b"x"}], "content must be a text .*, not bytes"),
    ],
)
def test_messages_that_are_none_are_named(messages: Any, words: str) -> None:
    with pytest.raises(BundleRuntimeError, match=words):
        ChatTemplate("x", {}).render(messages)


def test_documents_that_are_none_are_named() -> None:
    for documents in ("x", [3], {"text": "x"}):
        with pytest.raises(BundleRuntimeError, match="documents must be a list of dicts"):
            ChatTemplate("x", {}).render([], documents=documents)  # type: ignore[arg-type]


def test_variables_of_a_template_are_known() -> None:
    template = ChatTemplate(TEMPLATES["smollm3"], SPECIALS)
    assert template.variables == {"enable_thinking", "xml_tools", "python_tools"}
    assert ChatTemplate(TEMPLATES["llama3_tools"], SPECIALS).variables == {"date_string"}
    template.require_known(["enable_thinking"], ["top_k"])
    with pytest.raises(BundleRuntimeError, match="did you mean enable_thinking"):
        template.require_known(["enable_thinkin"], ["top_k"])
    with pytest.raises(BundleRuntimeError, match="did you mean top_k"):
        template.require_known(["topk"], ["top_k"])


def test_the_clock_can_be_set() -> None:
    then = datetime.datetime(2026, 2, 3)
    template = ChatTemplate("{{ strftime_now('%d %b %Y') }}", {}, now=lambda: then)
    assert template.render([]) == "03 Feb 2026"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ dict.__class__.__base__.__subclasses__() }}",
        "{% set n = namespace() %}{% set n.__class__ = 1 %}",
        "{{ namespace(_a=1) }}",
        "{{ messages.append(1) }}",
        "{{ raise_exception('no system') }}",
        "{{ 'a' + 1 }}",
        "{{ 1 / 0 }}",
        "{{ nothing.more }}",
        "{{ 'a' | tojson(indent=tools) | nofilter }}",
    ],
)
def test_what_a_template_must_not_do_fails_cleanly(source: str) -> None:
    with pytest.raises(BundleRuntimeError, match=r"refuses|not valid"):
        ChatTemplate(source, {}).render([{"role": "user", "content": "x"}])


def test_a_template_that_is_none_is_named() -> None:
    for source in ("{% for %}", "{% generation %}", "{{ " + "(" * 3000):
        with pytest.raises(BundleRuntimeError, match="the chat template is not valid"):
            ChatTemplate(source, {})
