"""ExecuTorch's C++ ``TextLLMRunner``, the loop that apps on phones run, in a process of its own.

It feeds the prompt, samples and decodes in C++, and gives no logits. Its sampler knows a
temperature; above 0 it samples from the tokens of a total probability of 0.9 (its constant
``kTopp``), with a seed of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Generator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from torch import Tensor

from runtime_py.answer_text import AnswerText
from runtime_py.bundle import Bundle
from runtime_py.bundle_task import GENERATE, task_name
from runtime_py.controls import Controls
from runtime_py.engines.engine import Engine, PlainEngine
from runtime_py.engines.raw_tokens import text_of, without_decoder
from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.program_header import check_program_header
from runtime_py.request import Request
from runtime_py.sampling import Sampling
from runtime_py.stats import Generation
from runtime_py.tokenizer import TextTokenizer

_ABLE = ("temperature", "max_new_tokens", "stop_ids", "answer_format")
"""Fields of Sampling and Controls that can be other than off."""


class Runner(PlainEngine):
    """A program in a runner's process. ``position`` is 0: each prompt is fed from its beginning.

    Raises:
        BundleRuntimeError: the runner cannot load the program.
    """

    name = "runner"
    prefill_length = 1

    def __init__(
        self,
        path: Path,
        facts: dict[str, Any],
        tokenizer: Path,
        data_path: Path | None,
        threads: int | None,
    ) -> None:
        check_program_header(path)
        _require_runnable(path, facts)
        self.path = path
        self.context_length = facts["context_length"]
        self.vocab_size = facts["vocab_size"]
        self._lock = threading.Lock()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115, closed by close
        content = without_decoder(tokenizer)
        file, raw = tempfile.mkstemp(suffix=".json", prefix="tokenizer-")
        try:
            with os.fdopen(file, "w", encoding="utf-8") as out:
                out.write(content)
            given = {"program": str(path), "tokenizer": raw, "threads": threads,
                     "data": None if data_path is None else str(data_path)}  # fmt: skip
            self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                [sys.executable, "-m", "runtime_py.engines.runner_process", json.dumps(given)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            )  # fmt: skip
            self._end = weakref.finalize(self, _end, self._process)
            self._line("cannot load the program")
        except BaseException:
            self.close()
            raise
        finally:
            Path(raw).unlink(missing_ok=True)

    @property
    def closed(self) -> bool:
        return self._process is None

    def reset(self, position: int = 0) -> int:
        return 0

    def step(self, tokens: Sequence[int], *, every: bool = False) -> Tensor:
        self._no_logits()

    def prefill(self, tokens: Sequence[int]) -> Tensor:
        self._no_logits()

    def _no_logits(self) -> NoReturn:
        raise BundleRuntimeError(
            "the engine 'runner' chooses the tokens itself and gives no logits",
            where=str(self.path), fix="engine='executorch'",
        )  # fmt: skip

    def answer(
        self, tokenizer: TextTokenizer, ids: list[int], result: Generation, request: Request
    ) -> Generator[str, None, None]:
        """See ``SelfSampling``."""
        _require_able(request)
        result.stats.prompt_tokens = len(ids)
        text = AnswerText(tokenizer, request, result)
        for token in self._tokens(tokenizer, ids, request, result):
            yield text.push(token)
            if result.finish:
                return
        room = self.context_length - len(ids)
        finish = "context" if len(result.tokens) >= room else "eos"  # the program's own
        if len(result.tokens) >= request.sampling.max_new_tokens:
            finish = "length"
        yield text.end(finish)

    def _tokens(
        self, tokenizer: TextTokenizer, ids: list[int], request: Request, result: Generation
    ) -> Generator[int, None, None]:
        """The tokens of an answer. The runner is stopped when the caller leaves it earlier."""
        process = self._require_open()
        text = text_of(tokenizer, self.checked(ids))
        if text is None:
            raise BundleRuntimeError(
                "the engine 'runner' takes text alone, and no text has the tokens of this prompt",
                where=str(self.path), fix="a text as the prompt, or engine='executorch'",
            )  # fmt: skip
        # Beyond the context the runner fails.
        most = min(request.sampling.max_new_tokens, self.context_length - len(ids))
        asked = {"ids": ids, "text": text, "temperature": request.sampling.temperature,
                 "max_new_tokens": most}  # fmt: skip
        with self._lock:
            self._send(process, json.dumps(asked))
            ended = False
            try:
                while not ended:
                    line = self._line("failed")
                    if ended := "stats" in line:
                        result.stats.prefill_seconds = line["stats"]["prefill"]
                    else:
                        yield line["token"]
            except BundleRuntimeError:
                ended = True
                raise
            finally:
                if not ended:
                    self._send(process, "")
                    while "stats" not in (line := self._line("failed")):
                        pass
                    result.stats.prefill_seconds = line["stats"]["prefill"]

    @staticmethod
    def _send(process: subprocess.Popen[bytes], line: str) -> None:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # ``_line`` reports that it has ended
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()

    def _line(self, what: str) -> dict[str, Any]:
        """The next thing that the process says.

        Raises:
            BundleRuntimeError: an error, or the process has ended.
        """
        process = self._require_open()
        assert process.stdout is not None
        data = process.stdout.readline()
        line: dict[str, Any] = json.loads(data) if data else {}
        if data and "error" not in line:
            return line
        said = line.get("error") or f"its process has ended (exit code {process.wait()})"
        if not data:
            self.close()
        raise BundleRuntimeError(
            f"ExecuTorch's runner {what}: {said}{self._told()}", where=str(self.path),
            fix="engine='executorch'",
        )  # fmt: skip

    def _told(self) -> str:
        """The last errors that the C++ code has written."""
        if self._log.closed:
            return ""
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").splitlines()
        errors = [line.strip() for line in lines if "rror" in line or "equired" in line]
        return "".join(f"; {line[:200]}" for line in errors[-2:])

    def _require_open(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise BundleRuntimeError(
                "the program is closed", where=str(self.path), fix="load the bundle again"
            )
        return self._process

    def close(self) -> None:
        if getattr(self, "_process", None) is not None:
            self._process = None
            self._end()
        if not self._log.closed and self._process is None:
            self._log.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _require_runnable(path: Path, facts: dict[str, Any]) -> None:
    """The runner feeds ``forward`` tokens [1, S] and a position, int64, to a cache inside."""
    steps = facts.get("steps", {"forward": facts["prefill_length"]})
    reasons = {
        "it takes and returns its caches": facts.get("cache_io"),
        "it has no KV cache": facts.get("whole_text"),
        "its tokens are not int64": facts.get("token_dtype", "int64") != "int64",
        "it has no method 'forward'": "forward" not in steps,
        "its method 'forward' takes several tokens, and no fewer":
            not facts["dynamic_shapes"] and steps.get("forward", 1) != 1,
    }  # fmt: skip
    for reason, holds in reasons.items():
        if holds:
            raise BundleRuntimeError(
                f"ExecuTorch's runner cannot run this program: {reason}", where=str(path),
                fix="engine='executorch'",
            )  # fmt: skip


def _require_able(request: Request) -> None:
    """Raises ArgumentError, by its name, for a setting that the runner lacks."""
    greedy = request.sampling.temperature == 0
    off = Sampling(temperature=0)
    asked = [
        field.name for field in fields(Sampling)
        if getattr(request.sampling, field.name) != getattr(off, field.name)
        # Which of the most likely tokens may be sampled means nothing without sampling.
        and not (greedy and field.name in ("top_k", "top_p", "min_p", "typical_p"))
    ]  # fmt: skip
    plain = Controls()
    asked += [f.name for f in fields(Controls)
              if getattr(request.controls, f.name) != getattr(plain, f.name)]  # fmt: skip
    if request.seed is not None and not greedy:
        asked.append("seed")
    if request.controls.answer_format.opening:
        asked.append("tool_choice")
    for name in asked:
        if name not in _ABLE:
            raise ArgumentError(
                f"the engine 'runner' has no {name}: it samples by a temperature alone",
                fix="engine='executorch', or temperature=0, max_new_tokens, stop and stop_ids",
            )


def open_runner(bundle: Bundle, data_path: Path | None, threads: int | None) -> Engine:
    file, tokenizer = bundle.file("program"), bundle.file("tokenizer")
    assert file is not None
    assert tokenizer is not None
    if task_name(bundle) != GENERATE:
        raise BundleRuntimeError(
            "ExecuTorch's runner cannot run this program: it takes embeddings, not token ids",
            where=str(bundle.path), fix="engine='executorch'",
        )  # fmt: skip
    return Runner(file, bundle.manifest["program"], tokenizer, data_path, threads)


OPENER = open_runner
