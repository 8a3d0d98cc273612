"""From what a caller asks to the token ids of a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from runtime_py.answer_format import AnswerFormat, opened
from runtime_py.bundle import Bundle
from runtime_py.bundle_task import SEE, task_name
from runtime_py.call_messages import has_calls, with_objects, with_texts
from runtime_py.chat_constraint import constrained
from runtime_py.chat_template import ChatTemplate, Message
from runtime_py.engines.engine import Engine
from runtime_py.errors import BundleRuntimeError
from runtime_py.guard import guarded
from runtime_py.image_limits import DEFAULTS
from runtime_py.message_parts import has_images
from runtime_py.reasoning import ReasoningFormat, reasoning_format
from runtime_py.request import ARGUMENTS
from runtime_py.template_data import plain_data
from runtime_py.token_ids import checked_ids, common_length
from runtime_py.tokenizer import TextTokenizer
from runtime_py.tool_calls import Schemas, schemas_of
from runtime_py.tool_choice import ToolChoice, checked_choice
from runtime_py.tool_formats import tool_format
from runtime_py.tool_formats.base import ToolFormat
from runtime_py.tool_schema import tool_schemas

Prompt = str | Sequence[int]
Documents = Sequence[Mapping[str, Any]]
Messages = str | Sequence[Message]


class Prompts:
    """The tokenizer and the chat templates of a bundle.

    Attributes:
        sees: whether prompts may have images.
    """

    sees = False
    image_limits = DEFAULTS

    def __init__(self, bundle: Bundle, program: Engine, tokenizer: TextTokenizer) -> None:
        self.bundle, self.program, self.tokenizer = bundle, program, tokenizer

    @cached_property
    def template(self) -> ChatTemplate | None:
        """The chat template; None in a base model.

        Raises:
            BundleRuntimeError: the template is not valid; ``generate`` does not need it.
        """
        return self._read_template("chat_template")

    @cached_property
    def tool_use_template(self) -> ChatTemplate | None:
        """The chat template for conversations with tools; None: ``template`` is for them too."""
        return self._read_template("tool_use_template")

    def _read_template(self, role: str) -> ChatTemplate | None:
        file = self.bundle.file(role)
        if file is None:
            return None
        specials = self.bundle.manifest["tokenizer"]["special_tokens"]
        with guarded("the chat template cannot be read", where=str(file)):
            source = file.read_text(encoding="utf-8")
        return ChatTemplate(source, specials)

    def encoded(self, prompt: Any, *, raw: bool = True, images: Any = None) -> list[int]:
        """A text, or checked ids; ``[]`` if it is empty.

        Args:
            raw: of ``TextTokenizer.encode``.
            images: one for each mark in the text.

        Raises:
            BundleRuntimeError: there are images, and the model reads text alone.
        """
        if images:
            raise self._blind()
        if isinstance(prompt, str):
            return self._with_embeddings(self.tokenizer.encode(prompt, raw=raw))
        return checked_ids(prompt, self.bundle.manifest["program"]["vocab_size"])

    def _with_images(
        self, template: ChatTemplate, messages: Sequence[Message]
    ) -> tuple[Sequence[Message], list[Any]]:
        """(messages as the template takes them, the images in them)

        Raises:
            BundleRuntimeError: there are images, and the model reads text alone.
        """
        if has_images(messages):
            raise self._blind()
        return messages, []

    def _tokens(self, text: str, images: Sequence[Any]) -> list[int]:
        """Ids of what the template has written."""
        return self._with_embeddings(self.tokenizer.encode(text, raw=False))

    def _blind(self) -> BundleRuntimeError:
        return BundleRuntimeError(
            "the model reads text alone: its bundle has no vision encoder",
            where=str(self.bundle.path),
            fix="a bundle of a vision-language model, exported with model.task=see",
        )

    def rendered(
        self, messages: Any, tools: Any, documents: Any, enable_thinking: Any, said: dict[str, Any]
    ) -> tuple[list[int], dict[str, Any]]:
        """(token ids of the prompt, settings of the answer).

        Args:
            said: settings of the answer, and variables of the template.
        """
        role = "chat_template"
        if tools is not None and self.tool_use_template is not None:
            role = "tool_use_template"
        template = self.template if role == "chat_template" else self.tool_use_template
        if template is None:
            raise BundleRuntimeError(
                "the bundle has no chat template: it is a base model",
                where=str(self.bundle.path), fix="use generate",
            )  # fmt: skip
        settings = {name: value for name, value in said.items() if name in ARGUMENTS}
        variables = {name: value for name, value in said.items() if name not in ARGUMENTS}
        choice = asked = variables.get("tool_choice")
        if "tool_choice" not in template.variables:
            variables.pop("tool_choice", None)
        template.require_known(list(variables), (*ARGUMENTS, "tool_choice"))
        budget = settings.get("thinking_budget")
        if enable_thinking is None and type(budget) is int and budget == 0:
            enable_thinking = False
        if enable_thinking is not None:
            variables["enable_thinking"] = enable_thinking
        schemas = None if tools is None else schemas_of(plain_data(tool_schemas(tools)))
        choice = checked_choice(choice, schemas)
        if choice.none:
            tools = schemas = None
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        messages, images = self._with_images(template, messages)
        text = self._text(template, messages, tools=tools, documents=documents, **variables)
        template.require_read(tools=schemas, documents=documents)
        ids = self._tokens(text, images)
        form = settings.get("answer_format")
        if form is None:
            form = self._answer_format(role, schemas, choice, text)
        if isinstance(form, AnswerFormat):
            rules = settings.get("constraint")
            steered = settings.get("logits_processor") is not None
            rules, form = constrained(rules, form, choice, asked, steered)
            settings["constraint"] = rules
        settings["answer_format"] = form
        return ids, settings

    def next_turn(
        self, messages: Sequence[Message], tools: Any, documents: Any, enable_thinking: Any,
        said: Mapping[str, Any],
    ) -> list[int]:  # fmt: skip
        """The tokens that the prompt of the next turn begins with, whatever the user says: what
        the prompts of two turns have in common."""
        one, other = (
            self.rendered(
                [*messages, {"role": "user", "content": word}],
                tools, documents, enable_thinking, dict(said),
            )[0]
            for word in ("1", "A")
        )  # fmt: skip
        return one[: common_length(one, other)]

    @staticmethod
    def _text(template: ChatTemplate, messages: Any, **given: Any) -> str:
        try:
            return template.render(with_objects(messages), **given)
        except BundleRuntimeError as refused:
            if not has_calls(messages):
                raise
            try:
                return template.render(with_texts(messages), **given)
            except BundleRuntimeError:
                raise refused from None

    def _answer_format(
        self, role: str, schemas: Schemas | None, choice: ToolChoice, prompt: str
    ) -> AnswerFormat:
        reasoning, calls = self._formats[role]
        if schemas is None:
            return AnswerFormat(reasoning, opened=opened(reasoning, prompt))
        return AnswerFormat(
            reasoning, calls, schemas, opened(reasoning, prompt), choice.opening(calls, schemas)
        )

    @cached_property
    def _formats(self) -> dict[str, tuple[ReasoningFormat | None, ToolFormat | None]]:
        """Role of a template -> what its model writes beside text."""
        found = {}
        for role in ("chat_template", "tool_use_template"):
            template = self.template if role == "chat_template" else self.tool_use_template
            if template is not None:
                added = self.tokenizer.added()
                reasoning = reasoning_format(template.source, added)
                found[role] = reasoning, tool_format(template, added)
        return found

    def _with_embeddings(self, ids: list[int]) -> list[int]:
        """A tokenizer may have tokens that were added without a row in the embedding."""
        self.program.check_ids(ids)
        return ids


def prompts_of(bundle: Bundle, engine: Engine, tokenizer: TextTokenizer) -> Prompts:
    """Those that take images, if the engine does."""
    if task_name(bundle) == SEE:
        from runtime_py.vision.engine import Seeing
        from runtime_py.vision.prompts import SeeingPrompts

        if isinstance(engine, Seeing):
            return SeeingPrompts(bundle, engine, tokenizer)
    return Prompts(bundle, engine, tokenizer)
