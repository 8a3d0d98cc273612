"""Generate text with a bundle."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from runtime_py.bundle import Bundle
from runtime_py.bundle_tokenizer import load_tokenizer, tokenizer_of
from runtime_py.chat_template import ChatTemplate, Message
from runtime_py.decoder import Decoder
from runtime_py.errors import ArgumentError, BundleRuntimeError, shown
from runtime_py.exclusive import Exclusive
from runtime_py.guard import guarded
from runtime_py.manifest import TOKENIZER_ROLES
from runtime_py.packed import named
from runtime_py.program import Program
from runtime_py.request import ARGUMENTS, OnText, Request, checked_request, is_messages
from runtime_py.sampling import Sampling
from runtime_py.sampling.logprobs import TokenLogprob, check_top
from runtime_py.snapshots import Snapshot
from runtime_py.stats import Generation
from runtime_py.stream import Stream
from runtime_py.threads import check_threads, set_threads
from runtime_py.token_ids import checked_ids
from runtime_py.tokenizer import TextTokenizer
from runtime_py.tool_schema import Tool

__all__ = ["LLM", "load_tokenizer"]

Prompt = str | Sequence[int]
Documents = Sequence[Mapping[str, Any]]


class LLM:
    """A loaded bundle with one KV cache. For a prompt that continues the last conversation, only
    the new tokens are fed.

    Threads may share it: one answer is generated at a time, and the others wait. ``with`` closes it
    at the end of the block.

    Attributes:
        defaults: the bundle's sampling settings.
    """

    def __init__(
        self,
        bundle: Bundle,
        program: Program,
        tokenizer: TextTokenizer,
        adapter_file: Path | None = None,
    ) -> None:
        self.bundle = bundle
        self._digests = bundle.digest(bundle.file("program")), bundle.digest(adapter_file)
        self.program = program
        self.tokenizer = tokenizer
        self.defaults = Sampling(**bundle.manifest["sampling"])
        self._decoder = Decoder(program, tokenizer)
        self._lock = Exclusive()

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

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        threads: int | None = None,
        adapter: str | None = None,
        verify_hashes: bool = True,
    ) -> LLM:
        """Open a bundle: a folder, or a file of ``llm-export pack``.

        Args:
            adapter: one of the bundle's adapters, or base for the model without any; None is
                the bundle's default.
            threads: size of the thread pool; None keeps ExecuTorch's choice.
            verify_hashes: refuse a program, adapter, tokenizer or template whose SHA-256 is not
                the manifest's. A damaged program can end the process.

        Raises:
            BundleRuntimeError: it is damaged, has no such adapter, or cannot run on this machine.
        """
        if not isinstance(path, str | os.PathLike):
            raise ArgumentError(f"path must be that of a bundle, not {type(path).__name__}")
        check_threads(threads)
        if adapter is not None and not isinstance(adapter, str):
            raise ArgumentError(f"adapter must be a name or None, not {type(adapter).__name__}")
        bundle = Bundle.open(path)
        with named(path, bundle.path):
            weights = bundle.adapter_file(adapter)
            bundle = bundle.with_adapter(adapter)
            program_file = bundle.file("program")
            assert program_file is not None
            if verify_hashes:
                others = [bundle.file(role) for role in TOKENIZER_ROLES]
                bundle.check_hashes([program_file, weights, *others])
            if threads is not None:
                set_threads(threads)
            program = Program.of_manifest(program_file, bundle.manifest["program"], weights)
            return cls(bundle, program, tokenizer_of(bundle), weights)

    def generate(
        self,
        prompt: Prompt,
        *,
        sampling: Sampling | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        on_text: OnText | None = None,
        **settings: Any,
    ) -> Generation:
        """Continue a raw prompt.

        Args:
            prompt: a text, or token ids, to which no BOS is added.
            sampling: None is the bundle's ``defaults``.
            stop: strings that end the answer; the answer does not include them.
            seed: makes sampling reproducible.
            on_text: called with each piece of text as it is decoded.
            settings: fields of Sampling, such as temperature, that replace those of ``sampling``,
                and of ``controls.Controls``: stop_ids, ignore_eos, logit_bias, logprobs,
                logits_processor.

        Raises:
            BundleRuntimeError: the prompt is empty or longer than the context, or an argument is
                wrong.
        """
        request = checked_request(
            self.defaults, settings, sampling=sampling, stop=stop, seed=seed, on_text=on_text
        )
        return self._collect(self._encoded(prompt), request)

    def chat(
        self,
        messages: str | Sequence[Message],
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
                ``tool_calls``; a text is one message of the user.
            tools: functions with type hints and a docstring, or JSON schemas.
            documents: for templates with retrieval.
            enable_thinking: for templates that can switch reasoning on or off.
            settings: those of ``generate``, and other variables that the chat template reads.

        Raises:
            BundleRuntimeError: the bundle has no chat template, the template refuses the
                conversation, the prompt does not fit, or an argument is wrong.
        """
        ids, settings = self._rendered(messages, tools, documents, enable_thinking, settings)
        request = checked_request(
            self.defaults, settings, sampling=sampling, stop=stop, seed=seed, on_text=on_text
        )
        return self._collect(ids, request)

    def stream(
        self,
        prompt: Prompt | Sequence[Message],
        *,
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
            ids, settings = self._rendered(prompt, tools, documents, enable_thinking, settings)
        else:
            ids = self._encoded(prompt)
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
        if type(n) is not int or n < 1:
            raise ArgumentError(f"n must be a whole number from 1, not {shown(n)}")
        said = {"tools": tools, "documents": documents, "enable_thinking": enable_thinking,
                "sampling": sampling, "stop": stop, "logprobs": 0, **settings}  # fmt: skip
        answers = []
        for number in range(n):
            own = None if seed is None else seed + number
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
        ids = self._encoded(prompt)
        if len(ids) > self.program.context_length:
            raise BundleRuntimeError(
                f"the text has {len(ids)} tokens; the context has {self.program.context_length}",
                fix="a shorter text, or export with a larger runtime.context_length",
            )
        with self._lock:
            return self._decoder.scores(ids, top)

    def count_tokens(
        self,
        prompt: Prompt | Sequence[Message],
        *,
        tools: Sequence[Tool] | None = None,
        documents: Documents | None = None,
        enable_thinking: bool | None = None,
        **variables: Any,
    ) -> int:
        """Number of tokens that ``stream`` would feed for the same prompt."""
        if not is_messages(prompt):
            return len(self._encoded(prompt))
        return len(self._rendered(prompt, tools, documents, enable_thinking, variables)[0])

    def snapshot(self) -> Snapshot:
        """A copy of what the program remembers now: after the last prompt and answer.

        Raises:
            BundleRuntimeError: the program does not give out its state (runtime.snapshots).
        """
        with self._lock:
            ids, furthest, copied = self._decoder.taken()
        return Snapshot(tuple(ids), furthest, *self._digests, copied)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, of this process or of another one. A prompt that begins with its
        tokens then goes on from there.

        Raises:
            BundleRuntimeError: it is of another program or adapter, or does not fit this one.
        """
        if not isinstance(snapshot, Snapshot):
            raise ArgumentError(f"snapshot must be a Snapshot, not {type(snapshot).__name__}")
        if (snapshot.program, snapshot.adapter) != self._digests:
            what = "adapter" if snapshot.program == self._digests[0] else "program"
            raise BundleRuntimeError(
                f"the snapshot is of another {what}", where=str(self.bundle.path),
                fix="load the bundle that it was taken of, or feed the text again",
            )  # fmt: skip
        with self._lock:
            self._decoder.put(snapshot.tokens, snapshot.furthest, snapshot.tensors)

    def reset(self) -> None:
        """Empty the cache."""
        with self._lock:
            self._decoder.reset()

    def close(self) -> None:
        """Release the program's memory. Afterwards nothing can be generated."""
        with self._lock:
            self.program.close()

    def __enter__(self) -> LLM:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        manifest = self.bundle.manifest
        backends = "+".join(manifest["requires"]["backends"]) or "not delegated"
        state = "closed" if self.program.closed else f"{len(self._decoder.cached)} cached"
        return (
            f"<LLM {manifest['name']} ({manifest['model']['parameters'] / 1e6:.4g}M parameters, "
            f"{backends}, {'chat' if self.bundle.file('chat_template') else 'no chat template'}): "
            f"context {self.program.context_length} tokens, {state}; {self.bundle.path}>"
        )

    def _encoded(self, prompt: Any) -> list[int]:
        if isinstance(prompt, str):
            return self._with_embeddings(self.tokenizer.encode(prompt))
        return checked_ids(prompt, self.bundle.manifest["program"]["vocab_size"])

    def _rendered(
        self, messages: Any, tools: Any, documents: Any, enable_thinking: Any, said: dict[str, Any]
    ) -> tuple[list[int], dict[str, Any]]:
        """(token ids, settings of sampling among ``said``)."""
        template = self.template
        if tools is not None and self.tool_use_template is not None:
            template = self.tool_use_template
        if template is None:
            raise BundleRuntimeError(
                "the bundle has no chat template: it is a base model",
                where=str(self.bundle.path), fix="use generate",
            )  # fmt: skip
        settings = {name: value for name, value in said.items() if name in ARGUMENTS}
        variables = {name: value for name, value in said.items() if name not in ARGUMENTS}
        template.require_known(list(variables), ARGUMENTS)
        if enable_thinking is not None:
            variables["enable_thinking"] = enable_thinking
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        text = template.render(messages, tools=tools, documents=documents, **variables)
        return self._with_embeddings(self.tokenizer.encode(text, raw=False)), settings

    def _with_embeddings(self, ids: list[int]) -> list[int]:
        """A tokenizer may have tokens that were added without a row in the embedding."""
        self.program.check_ids(ids)
        return ids

    def _collect(self, ids: list[int], request: Request) -> Generation:
        stream = self._stream(ids, request)
        for piece in stream:
            if request.on_text is not None:
                request.on_text(piece)
        return stream.result

    def _stream(self, ids: list[int], request: Request) -> Stream:
        request.controls.check_vocabulary(self.bundle.manifest["program"]["vocab_size"])
        if not ids:
            raise BundleRuntimeError("the prompt is empty", fix="give at least one token")
        if len(ids) >= self.program.context_length and not self.program.attention_sink:
            raise BundleRuntimeError(
                f"the prompt has {len(ids)} tokens; the context of {self.program.context_length} "
                "leaves no room for an answer",
                fix="a shorter prompt, or export with a larger runtime.context_length",
            )
        result = Generation()
        return Stream(self._pieces(ids, result, request), result, self._lock)

    def _pieces(
        self, ids: list[int], result: Generation, request: Request
    ) -> Generator[str, None, None]:
        """Add to ``result``, and yield each piece of its text."""
        with self._lock:
            for piece in self._decoder.decode(ids, result, request):
                if piece:
                    result.text += piece
                    yield piece
