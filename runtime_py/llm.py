"""Generate text with a bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from runtime_py.bundle import Bundle
from runtime_py.bundle_task import GENERATE, SEE, require_task
from runtime_py.bundle_tokenizer import load_tokenizer, tokenizer_of
from runtime_py.chat_template import ChatTemplate
from runtime_py.engines import DEFAULT, Engine, opener
from runtime_py.engines.decoding import decoder_of
from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.exclusive import Exclusive
from runtime_py.foreign import opened
from runtime_py.manifest import TOKENIZER_ROLES
from runtime_py.packed import named
from runtime_py.program import Program
from runtime_py.prompts import Messages, prompts_of
from runtime_py.resumable import Resumable
from runtime_py.sampling import Sampling
from runtime_py.tenancy import Tenancy
from runtime_py.text_cache import TextCache
from runtime_py.threads import check_threads
from runtime_py.tokenizer import TextTokenizer

if TYPE_CHECKING:
    from runtime_py.images import Limits
    from runtime_py.sessions import Overflow, Session

__all__ = ["LLM", "load_tokenizer"]


class LLM(Resumable):
    """A loaded bundle with one KV cache. For a prompt that continues the last conversation, only
    the new tokens are fed. ``session`` makes further texts over the same program.

    Threads may share it: one answer is generated at a time, and the others wait. ``with`` closes it
    at the end of the block.

    Attributes:
        defaults: the bundle's sampling settings.
        engine: what runs the bundle.
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine,
        tokenizer: TextTokenizer,
        adapter_file: Path | None = None,
    ) -> None:
        self.bundle = bundle
        self._digests = bundle.digest(bundle.file("program")), bundle.digest(adapter_file)
        self.engine = engine
        self.tokenizer = tokenizer
        self.defaults = Sampling(**bundle.manifest["sampling"])
        self._prompts = prompts_of(bundle, engine, tokenizer)
        self._tenancy = Tenancy(engine)
        self._cache = TextCache(engine, self._tenancy)
        self._decoder = decoder_of(engine, tokenizer)
        self._lock = Exclusive()

    @property
    def program(self) -> Program:
        """The ExecuTorch program.

        Raises:
            BundleRuntimeError: another engine runs the bundle.
        """
        if not isinstance(self.engine, Program):
            raise BundleRuntimeError(
                "the engine gives no access to a program", where=str(self.engine.path),
                fix="engine='executorch'",
            )  # fmt: skip
        return self.engine

    @property
    def sees(self) -> bool:
        """Whether messages may have images."""
        return self._prompts.sees

    @property
    def image_limits(self) -> Limits:
        """What an image of a message may take, and where it may come from."""
        return self._prompts.image_limits

    @image_limits.setter
    def image_limits(self, limits: Limits) -> None:
        self._prompts.image_limits = limits

    @property
    def template(self) -> ChatTemplate | None:
        """The chat template; None in a base model.

        Raises:
            BundleRuntimeError: the template is not valid; ``generate`` does not need it.
        """
        return self._prompts.template

    @property
    def tool_use_template(self) -> ChatTemplate | None:
        """The chat template for conversations with tools; None: ``template`` is for them too."""
        return self._prompts.tool_use_template

    @classmethod
    def load(
        cls,
        path: str | Path | Bundle,
        *,
        threads: int | None = None,
        adapter: str | None = None,
        verify_hashes: bool = True,
        engine: str = DEFAULT,
        tokenizer: str | Path | None = None,
    ) -> LLM:
        """Load a bundle: a folder, a file of ``llm-export pack``, a repository of the hub
        (ORG/NAME), or one that is open. Programs of other exporters are loaded too, as a folder
        with their tokenizer, or as a .pte file; see ``runtime_py.foreign``.

        Args:
            adapter: one of the bundle's adapters, or base for the model without any; None is
                the bundle's default.
            threads: size of the engine's thread pool; None keeps its choice.
            verify_hashes: refuse a program, adapter, tokenizer or template whose SHA-256 is not
                the manifest's. A damaged program can end the process.
            engine: what runs it: executorch, runner (ExecuTorch's C++ runner, which samples
                itself), or one of another package, such as eager of llm_export.
            tokenizer: tokenizer.json, or a folder with it, of a .pte file without a manifest.

        Raises:
            BundleRuntimeError: it is damaged, has no such adapter, or cannot run on this machine.
        """
        if not isinstance(path, str | os.PathLike):
            raise ArgumentError(f"path must be that of a bundle, not {type(path).__name__}")
        check_threads(threads)
        if adapter is not None and not isinstance(adapter, str):
            raise ArgumentError(f"adapter must be a name or None, not {type(adapter).__name__}")
        open_engine = opener(engine)
        bundle = opened(path, tokenizer)
        with named(path, bundle.path):
            require_task(bundle, GENERATE, SEE)
            weights = bundle.adapter_file(adapter)
            bundle = bundle.with_adapter(adapter)
            program_file = bundle.file("program")
            assert program_file is not None
            if verify_hashes:
                others = [bundle.file(role) for role in (*TOKENIZER_ROLES, "processor")]
                bundle.check_hashes([program_file, weights, *others])
            # Before the program: reading it takes memory that is free afterwards.
            text = tokenizer_of(bundle)
            loaded = open_engine(bundle, weights, threads)
            try:
                return cls(bundle, loaded, text, weights)
            except BaseException:
                loaded.close()
                raise

    def session(
        self, messages: Messages = (), *, overflow: Overflow | str | None = None
    ) -> Session:
        """A text of its own over the same program: sessions take turns, and each goes on where it
        was.

        Args:
            messages: of the conversation so far, such as one with the role system.
            overflow: what happens when a turn would not fit the context: stop, slide,
                attention_sink, or one of the policies of ``runtime_py.sessions``. None is what the
                program was exported for: attention_sink, or else stop.

        Raises:
            BundleRuntimeError: the policy needs another program, or an argument is wrong.
        """
        from runtime_py.sessions import Session

        return Session(self, messages, overflow)

    def close(self) -> None:
        """Release the program's memory. Afterwards nothing can be generated."""
        with self._lock:
            self.engine.close()

    def __enter__(self) -> LLM:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        manifest = self.bundle.manifest
        backends = "+".join(manifest["requires"]["backends"]) or "not delegated"
        made = f"{manifest['model']['parameters'] / 1e6:.4g}M parameters, {backends}"
        if not manifest["producer"]:
            made = "of another exporter"
        kind = "chat" if self.bundle.file("chat_template") else "no chat template"
        state = "closed" if self.engine.closed else f"{len(self._cache.ids)} cached"
        return (
            f"<LLM {manifest['name']} ({made}, {kind}): context "
            f"{self.engine.context_length} tokens, {state}; {self.bundle.path}>"
        )
