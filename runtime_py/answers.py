"""Generate, chat, stream and score on one KV cache."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any

from runtime_py.answer_parser import parsed, until
from runtime_py.asynchronous import Asynchronous
from runtime_py.chat_template import Message
from runtime_py.decoder import Decoder
from runtime_py.delta import Delta
from runtime_py.errors import ArgumentError, BundleRuntimeError, Cancelled
from runtime_py.exclusive import Exclusive
from runtime_py.prompts import Documents, Messages, Prompt, Prompts
from runtime_py.request import OnText, Request, checked_request, is_messages, seeds
from runtime_py.sampling import Sampling
from runtime_py.sampling.logprobs import TokenLogprob, check_top
from runtime_py.stats import Generation, Stats
from runtime_py.stream import Stream
from runtime_py.text_cache import TextCache
from runtime_py.token_ids import FIRST_ROW
from runtime_py.tool_schema import Tool


class Answers(Asynchronous):
    """What can be asked of a model on one KV cache.

    Attributes:
        defaults: the bundle's sampling settings.
    """

    defaults: Sampling
    _prompts: Prompts
    _cache: TextCache
    _decoder: Decoder
    _lock: Exclusive

    def generate(
        self,
        prompt: Prompt,
        *,
        images: Any = None,
        sampling: Sampling | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        on_text: OnText | None = None,
        **settings: Any,
    ) -> Generation:
        """Continue a raw prompt.

        Args:
            prompt: a text, or token ids, to which no BOS is added.
            images: of a model that sees, one for each ``<image>`` in the text: paths, data URLs,
                bytes, images of Pillow or arrays.
            sampling: None is the bundle's ``defaults``.
            stop: strings that end the answer; the answer does not include them.
            seed: makes sampling reproducible.
            on_text: called with each piece of text as it is decoded.
            settings: fields of Sampling, such as temperature, that replace those of ``sampling``,
                and of ``controls.Controls``: stop_ids, ignore_eos, logit_bias, logprobs,
                logits_processor, constraint.

        Raises:
            BundleRuntimeError: the prompt is empty or longer than the context, or an argument is
                wrong.
        """
        request = checked_request(
            self.defaults, settings, sampling=sampling, stop=stop, seed=seed, on_text=on_text
        )
        ids = self._prompts.encoded(prompt, images=images)
        return self._collect(self._stream(ids, request), on_text)

    def chat(
        self,
        messages: Messages,
        *,
        tools: Sequence[Tool] | None = None,
        documents: Documents | None = None,
        enable_thinking: bool | None = None,
        sampling: Sampling | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        on_text: OnText | None = None,
        **settings: Any,
    ) -> Generation:
        """Answer a conversation. Arguments that are not listed are those of ``generate``.

        Args:
            messages: dicts with ``role`` (system, user, assistant, tool) and ``content``, or
                ``tool_calls``; a text is one message of the user. For a model that sees, content
                may be a list of parts, of which some are images; see docs/see.md.
            tools: functions with type hints and a docstring, or JSON schemas.
            documents: for templates with retrieval.
            enable_thinking: for templates that can switch reasoning on or off.
            settings: those of ``generate``, other variables that the chat template reads,
                thinking_budget (tokens of reasoning), and tool_choice (auto, none, required, or a
                tool, as in the OpenAI API).

        Raises:
            BundleRuntimeError: the bundle has no chat template, the template refuses the
                conversation, the prompt does not fit, or an argument is wrong.
        """
        ids, settings = self._prompts.rendered(
            messages, tools, documents, enable_thinking, settings
        )
        request = checked_request(
            self.defaults, settings, sampling=sampling, stop=stop, seed=seed, on_text=on_text
        )
        return self._collect(self._stream(ids, request), on_text)

    def stream(
        self,
        prompt: Prompt | Sequence[Message],
        *,
        images: Any = None,
        tools: Sequence[Tool] | None = None,
        documents: Documents | None = None,
        enable_thinking: bool | None = None,
        sampling: Sampling | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        **settings: Any,
    ) -> Stream:
        """Iterate over the pieces of an answer: to a list of messages as ``chat``, to a text or
        token ids as ``generate``.

        Raises:
            BundleRuntimeError: as ``generate`` and ``chat``.
        """
        if is_messages(prompt):
            _require_none(images)
            ids, settings = self._prompts.rendered(
                prompt, tools, documents, enable_thinking, settings
            )
        else:
            ids = self._prompts.encoded(prompt, images=images)
        request = checked_request(self.defaults, settings, sampling=sampling, stop=stop, seed=seed)
        return self._stream(ids, request)

    def n_best(
        self,
        prompt: Prompt | Sequence[Message],
        n: int,
        *,
        tools: Sequence[Tool] | None = None,
        documents: Documents | None = None,
        enable_thinking: bool | None = None,
        sampling: Sampling | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        **settings: Any,
    ) -> list[Generation]:
        """Several answers to one prompt, that with the highest mean log-probability first. The
        prompt is fed once.

        Args:
            prompt: as for ``stream``.
            n: number of answers.
            seed: of the first; each further one has the next.

        Raises:
            BundleRuntimeError: as ``generate`` and ``chat``.
        """
        said = {"tools": tools, "documents": documents, "enable_thinking": enable_thinking,
                "sampling": sampling, "stop": stop, **settings}  # fmt: skip
        said["logprobs"] = settings.get("logprobs") or 0
        answers = []
        for own in seeds(seed, n):
            with self.stream(prompt, seed=own, **said) as stream:
                answers.append(stream.read())
        return sorted(answers, key=lambda answer: -answer.mean_logprob)

    def score(self, prompt: Prompt, *, top: int = 0) -> list[TokenLogprob]:
        """Log-probabilities of the tokens of a text but the first, each after those before it, by
        the model itself. A program that returns the logits of the last token alone
        (``runtime.logits=last``) is fed token by token.

        Args:
            top: number of most likely tokens to give with each.

        Raises:
            BundleRuntimeError: the text is longer than the context, or an argument is wrong.
        """
        check_top("top", top)
        ids = self._prompts.encoded(prompt)
        if any(token >= FIRST_ROW for token in ids):
            raise ArgumentError("a text with images has no log-probabilities of its own")
        capacity = self._cache.program.context_length
        if len(ids) > capacity:
            raise BundleRuntimeError(
                f"the text has {len(ids)} tokens; the context has {capacity}",
                fix="a shorter text, or export with a larger runtime.context_length",
            )
        with self._lock:
            return self._cache.scores(ids, top)

    def count_tokens(
        self,
        prompt: Prompt | Sequence[Message],
        *,
        images: Any = None,
        tools: Sequence[Tool] | None = None,
        documents: Documents | None = None,
        enable_thinking: bool | None = None,
        **variables: Any,
    ) -> int:
        """Number of tokens that ``stream`` would feed for the same prompt."""
        return len(
            self.prompt_ids(
                prompt, images=images, tools=tools, documents=documents,
                enable_thinking=enable_thinking, **variables,
            )
        )  # fmt: skip

    def prompt_ids(
        self,
        prompt: Prompt | Sequence[Message],
        *,
        images: Any = None,
        tools: Sequence[Tool] | None = None,
        documents: Documents | None = None,
        enable_thinking: bool | None = None,
        **variables: Any,
    ) -> list[int]:
        """The tokens that ``stream`` would feed for the same prompt."""
        if not is_messages(prompt):
            return self._prompts.encoded(prompt, images=images)
        _require_none(images)
        return self._prompts.rendered(prompt, tools, documents, enable_thinking, variables)[0]

    def prefill_chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] | None = None,
        documents: Documents | None = None,
        enable_thinking: bool | None = None,
        **variables: Any,
    ) -> int:
        """Feed what each next turn of a conversation begins with, whatever the user says: while the
        user types, so that the answer begins earlier. It may be called from another thread; a
        question that comes in the meantime waits for what it would have to feed itself.

        Args:
            messages: up to the last answer; other arguments are those of ``chat``.

        Returns:
            number of tokens that were fed: 0 if there are none, or no room is left.

        Raises:
            BundleRuntimeError: as ``chat``.
        """
        ids = self._prompts.next_turn(messages, tools, documents, enable_thinking, variables)
        return self._prefill(ids)

    def _prefill(self, ids: list[int]) -> int:
        """Feed the beginning of a prompt; returns how many tokens were fed."""
        with self._lock:
            if not ids or len(ids) >= self._cache.program.context_length:
                return 0
            stats = Stats()
            self._cache.feed(ids, stats)
            return stats.prompt_tokens - stats.cached_tokens

    @staticmethod
    def _collect(stream: Stream, on_text: OnText | None) -> Generation:
        """Read a stream to its end; it is closed when ``on_text`` raises an error."""
        with stream:
            for piece in stream:
                if on_text is not None:
                    on_text(piece)
        return stream.result

    def _stream(self, ids: list[int], request: Request) -> Stream:
        self._check(request)
        ids = self._with_room(ids)
        result, stopped = Generation(), threading.Event()
        return Stream(self._deltas(ids, result, request, stopped), result, self._lock, stopped)

    def _check(self, request: Request) -> None:
        """Raises BundleRuntimeError if it does not fit this bundle."""
        request.controls.check_vocabulary(self._prompts.bundle.manifest["program"]["vocab_size"])
        self._decoder.check(request.controls)

    def _with_room(self, ids: list[int]) -> list[int]:
        """The prompt, which leaves room for an answer.

        Raises:
            BundleRuntimeError: it does not.
        """
        if not ids:
            raise BundleRuntimeError("the prompt is empty", fix="give at least one token")
        program = self._cache.program
        if len(ids) >= program.context_length and not program.attention_sink:
            raise BundleRuntimeError(
                f"the prompt has {len(ids)} tokens; the context of {program.context_length} "
                "leaves no room for an answer",
                fix="a shorter prompt, or export with a larger runtime.context_length",
            )
        return ids

    def _deltas(
        self, ids: list[int], result: Generation, request: Request, stopped: threading.Event
    ) -> Generator[Delta, None, None]:
        """Add to ``result``, and yield each piece of it."""
        try:
            with self._lock.unless(stopped):
                yield from self._decoded(ids, result, request, stopped)
        except Cancelled:  # while it waited for its turn
            result.finish = "cancelled"

    def _decoded(
        self, ids: list[int], result: Generation, request: Request, stopped: threading.Event
    ) -> Generator[Delta, None, None]:
        """``_deltas``, under the lock."""
        parser, program = request.controls.answer_format.parser(), self._cache.program
        program.stopped = stopped
        try:
            # A cancelled answer is closed under the lock, and not when it is collected as garbage.
            with closing(self._decoder.decode(self._cache, ids, result, request, parser)) as pieces:
                yield from parsed(until(stopped, pieces, result), parser, result)
        finally:
            program.stopped = None


def _require_none(images: Any) -> None:
    if images:
        raise ArgumentError(
            "images of a conversation belong into its messages",
            fix='{"type": "image", "image": PATH} in the list that is the content of a message',
        )
