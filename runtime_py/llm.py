"""Generate text with a bundle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from runtime_py.bundle import Bundle
from runtime_py.chat_template import ChatTemplate, Message
from runtime_py.errors import BundleRuntimeError
from runtime_py.program import Program, set_threads
from runtime_py.sampling import Sampler, Sampling
from runtime_py.stats import Generation
from runtime_py.tokenizer import TextStream, TextTokenizer

OnText = Callable[[str], None]


class LLM:
    """A loaded bundle with one KV cache. For a prompt that continues the last conversation, only
    the new tokens are fed.
    """

    def __init__(self, bundle: Bundle, program: Program, tokenizer: TextTokenizer) -> None:
        self.bundle = bundle
        self.program = program
        self.tokenizer = tokenizer
        self.defaults = Sampling(**bundle.manifest["sampling"])
        template = bundle.file("chat_template")
        self.template = (
            ChatTemplate(
                template.read_text(encoding="utf-8"),
                bundle.manifest["tokenizer"]["special_tokens"],
            )
            if template
            else None
        )
        self._cached: list[int] = []

    @classmethod
    def load(
        cls, path: str | Path, *, threads: int | None = None, adapter: str | None = None
    ) -> LLM:
        """Open a bundle folder.

        Args:
            adapter: one of the bundle's adapters, or base for the model without any; None is
                the bundle's default.
            threads: size of the thread pool; None keeps ExecuTorch's choice.

        Raises:
            BundleRuntimeError: it is damaged, has no such adapter, or cannot run on this machine.
        """
        bundle = Bundle.open(path)
        weights = bundle.adapter_file(adapter)
        program_file = bundle.file("program")
        assert program_file is not None
        if threads is not None:
            set_threads(threads)
        program = Program.of_manifest(program_file, bundle.manifest["program"], weights)
        return cls(bundle, program, _tokenizer_of(bundle))

    def generate(
        self,
        prompt: str,
        *,
        stop: Sequence[str] = (),
        seed: int | None = None,
        on_text: OnText | None = None,
        **sampling: Any,
    ) -> Generation:
        """Continue a raw prompt.

        Args:
            stop: strings that end the answer; the answer does not include them.
            on_text: called with each piece of text as it is decoded.
            sampling: temperature, top_k, top_p, max_new_tokens; defaults are the bundle's.

        Raises:
            BundleRuntimeError: the prompt is empty or longer than the context.
        """
        return self._collect(self.tokenizer.encode(prompt), stop, seed, on_text, sampling)

    def chat(
        self,
        messages: Sequence[Message],
        *,
        stop: Sequence[str] = (),
        seed: int | None = None,
        on_text: OnText | None = None,
        **sampling: Any,
    ) -> Generation:
        """Answer a conversation: messages of role system, user, assistant, and content.

        Raises:
            BundleRuntimeError: the bundle has no chat template, or the template raises an error.
        """
        if self.template is None:
            raise BundleRuntimeError(
                "the bundle has no chat template: it is a base model",
                where=str(self.bundle.path), fix="use generate",
            )  # fmt: skip
        ids = self.tokenizer.encode(self.template.render(messages), raw=False)
        return self._collect(ids, stop, seed, on_text, sampling)

    def reset(self) -> None:
        """Empty the cache."""
        self._cached = []
        self.program.reset()

    def _collect(
        self,
        ids: list[int],
        stop: Sequence[str],
        seed: int | None,
        on_text: OnText | None,
        sampling: dict[str, Any],
    ) -> Generation:
        result = Generation()
        for piece in self._stream(ids, result, stop, seed, replace(self.defaults, **sampling)):
            result.text += piece
            if on_text is not None:
                on_text(piece)
        return result

    def _stream(
        self, ids: list[int], result: Generation, stop: Sequence[str], seed: int | None, s: Sampling
    ) -> Iterator[str]:
        """Yield pieces of text and fill all of ``result`` except its text."""
        if len(ids) >= self.program.context_length and not self.program.attention_sink:
            raise BundleRuntimeError(
                f"the prompt has {len(ids)} tokens; the context of {self.program.context_length} "
                "leaves no room for an answer",
                fix="a shorter prompt, or export with a larger runtime.context_length",
            )
        sampler, text, hold = Sampler(s, seed), TextStream(self.tokenizer), StopStrings(stop)
        stats = result.stats
        begin = time.perf_counter()
        logits = self._feed_prompt(ids, result)
        token = sampler(logits)
        stats.time_to_first_token = time.perf_counter() - begin
        after = time.perf_counter()
        while True:
            result.tokens.append(token)
            stats.generated_tokens = len(result.tokens)
            stats.decode_seconds = time.perf_counter() - after
            if token in self.tokenizer.eos_ids:
                result.finish = "eos"
                break
            piece, stopped = hold.push(text.push(token))
            if piece:
                yield piece
            if stopped:
                result.finish = "stop"
                return
            if len(result.tokens) >= s.max_new_tokens:
                result.finish = "length"
                break
            if self.program.full:
                result.finish = "context"
                break
            logits = self.program.step([token])[0, -1]
            self._cached.append(token)
            token = sampler(logits)
        piece, stopped = hold.push(text.flush())
        result.finish = "stop" if stopped else result.finish
        piece += "" if stopped else hold.flush()
        if piece:
            yield piece

    def _feed_prompt(self, ids: list[int], result: Generation) -> Any:
        """Feed the part of the prompt that is not in the cache; return the logits [V] of its last
        token.
        """
        shared = 0
        while shared < min(len(self._cached), len(ids) - 1) and self._cached[shared] == ids[shared]:
            shared += 1
        shared = self.program.reset(shared)
        # A failure may leave the cache in an unknown state: count only slots that are certainly
        # valid.
        self._cached = self._cached[:shared]
        begin = time.perf_counter()
        logits = self.program.prefill(ids[shared:])
        result.stats.prefill_seconds = time.perf_counter() - begin
        result.stats.prompt_tokens, result.stats.cached_tokens = len(ids), shared
        self._cached = list(ids)
        return logits


class StopStrings:
    """Holds text back while it may be the start of a stop string."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = [s for s in stop if s]
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """(text that can be emitted, whether a stop string was found)."""
        self._held += text
        found = [i for i in (self._held.find(s) for s in self._stop) if i >= 0]
        if found:
            out, self._held = self._held[: min(found)], ""
            return out, True
        keep = max(
            (n for s in self._stop for n in range(1, len(s)) if self._held.endswith(s[:n])),
            default=0,
        )
        cut = len(self._held) - keep
        out, self._held = self._held[:cut], self._held[cut:]
        return out, False

    def flush(self) -> str:
        out, self._held = self._held, ""
        return out


def load_tokenizer(path: str | Path) -> TextTokenizer:
    """Load a bundle's tokenizer; its program need not run on this machine."""
    return _tokenizer_of(Bundle.open(path))


def _tokenizer_of(bundle: Bundle) -> TextTokenizer:
    tokens, file = bundle.manifest["tokenizer"], bundle.file("tokenizer")
    assert file is not None
    return TextTokenizer(
        file,
        bos_id=tokens["bos_id"],
        eos_ids=tokens["eos_ids"],
        add_bos=tokens["add_bos"],
        nfc=tokens.get("normalization") == "NFC",
    )
