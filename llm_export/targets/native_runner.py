"""Measure with an ExecuTorch LLM runner that was built for the device, such as ``llama_main``."""

from __future__ import annotations

import os
import shlex
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm_export.errors import InputError, TargetError
from llm_export.targets.base import Target
from llm_export.targets.command import last_line
from llm_export.targets.facts import DeviceFacts
from llm_export.targets.native_contract import check_contract, hint_of
from llm_export.targets.observer import Observed, TooShortError, parse_observed
from llm_export.targets.prompt import prompt_of
from llm_export.targets.push import Item
from llm_export.targets.runners import Measurement, Places, Runner, Say, of_bundle
from llm_export.targets.settings import context_of, single
from llm_export.targets.supervise import run_supervised
from runtime_py.benchmark import spread
from runtime_py.bundle import Bundle


class NativeRunner(Runner):
    """Any program with the flags and the output of ExecuTorch's ``llama_main``.

    Args:
        path: the program, or a folder with it and the shared libraries that it loads.
        arguments: further ones.
    """

    name = "native"

    def __init__(self, path: str | Path, arguments: Sequence[str] = ()) -> None:
        self._own = _program_and_libraries(Path(path))
        self._arguments = list(arguments)

    def files(
        self, bundle: Bundle, adapter: str | None, facts: DeviceFacts
    ) -> tuple[list[Item], list[Item]]:
        adapted = bundle.with_adapter(adapter)
        check_contract(adapted)
        paths = [adapted.file("program"), adapted.file("tokenizer"), bundle.adapter_file(adapter)]
        listed = [path.relative_to(bundle.path).as_posix() for path in paths if path is not None]
        return of_bundle(bundle, listed), self._items()

    def _items(self) -> list[Item]:
        return [Item.of(file, file.name, executable=index == 0)
                for index, file in enumerate(self._own)]  # fmt: skip

    def check(self, target: Target, settings: dict[str, Any]) -> None:
        """What the program needs of the device can be seen only by running it."""
        single(settings, None)

    def measure(
        self, target: Target, bundle: Bundle, places: Places, wanted: Measurement, say: Say
    ) -> dict[str, Any]:
        settings = single(wanted.settings, context_of(bundle))
        threads = settings.get("threads") or places.facts.fast_cpus or 1
        adapter, most = (wanted.settings.get(name) for name in ("adapter", "max_seconds"))
        length = settings["prompt_length"] + settings["decode_length"]
        say(f"measuring {settings['repetitions']} times")
        began = time.monotonic()
        runs: list[Observed] = []
        peak = 0
        of_output = False
        while len(runs) < settings["repetitions"]:
            total = settings["decode_length"] + 1 if of_output else length
            flags = self._flags(bundle, places, settings, total, threads, adapter)
            command = shlex.join([
                "env", f"LD_LIBRARY_PATH={places.runner}", f"{places.runner}/{self._own[0].name}",
                *(f"--{name}={value}" for name, value in flags.items()), *self._arguments,
            ])  # fmt: skip
            left = wanted.time_limit and wanted.time_limit - (time.monotonic() - began)
            run, memory = self._once(target, bundle, command, left and max(0.0, left))
            if not of_output and run.generated_tokens > settings["decode_length"] + 1:
                of_output = True
                continue
            runs.append(run)
            peak = max(peak, memory or 0)
            if most is not None and time.monotonic() - began > most:
                break
        return _result(runs, settings, threads, peak, places)

    def _once(
        self, target: Target, bundle: Bundle, command: str, time_limit: float | None
    ) -> tuple[Observed, int | None]:
        done, memory = run_supervised(target, command, timeout=time_limit)
        said = f"{done.err}\n{done.out}"
        if done.code:
            raise self._failed(target, bundle, done.code, said)
        try:
            return parse_observed(said), memory
        except TooShortError as error:
            raise TargetError(
                f"the runner's output has {error}", where=target.address,
                fix="a longer --prompt-length and --decode-length",
            ) from None  # fmt: skip
        except ValueError as error:
            fix = hint_of(said, done.code, bundle)
            raise TargetError(
                f"the runner's output has {error}", where=target.address,
                fix=fix or "a runner with the output of ExecuTorch's llama_main",
            ) from None  # fmt: skip

    def _flags(
        self, bundle: Bundle, places: Places, settings: dict[str, int], total: int,
        threads: int, adapter: str | None,
    ) -> dict[str, Any]:  # fmt: skip
        """
        Args:
            total: what ``seq_len`` counts: prompt and output in some versions of ExecuTorch, in
                others the output.
        """
        adapted = bundle.with_adapter(adapter)
        roles = adapted.manifest["roles"]
        flags: dict[str, Any] = {
            "model_path": f"{places.bundle}/{roles['program']}",
            "tokenizer_path": f"{places.bundle}/{roles['tokenizer']}",
            "prompt": _prompt(adapted, settings["prompt_length"]),
            "seq_len": total,
            "temperature": 0,
            "cpu_threads": threads,
            "warmup": "true" if settings["warmup"] else "false",
        }
        if (weights := bundle.adapter_file(adapter)) is not None:
            flags["data_path"] = f"{places.bundle}/{weights.relative_to(bundle.path).as_posix()}"
        return flags

    def _failed(self, target: Target, bundle: Bundle, code: int, said: str) -> TargetError:
        return TargetError(
            f"the runner failed: {last_line(said) or f'exit code {code}'}",
            where=f"{target.address}, exit code {code}",
            fix=hint_of(said, code, bundle)
            or "run it by hand on the device; --keep leaves there what was copied",
        )


def _program_and_libraries(path: Path) -> list[Path]:
    """The program first."""
    if path.is_file():
        return [path]
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else []
    programs = [f for f in files if os.access(f, os.X_OK) and ".so" not in f.name]
    if len(programs) != 1:
        raise InputError(
            f"there is no runner '{path}'" if not files else
            f"the folder has {len(programs)} programs, and should have one", where=str(path),
            fix="--runner PROGRAM, or a folder with it and its shared libraries",
        )  # fmt: skip
    return [programs[0], *(file for file in files if file != programs[0])]


def _prompt(bundle: Bundle, length: int) -> str:
    from runtime_py.llm import tokenizer_of  # imports torch

    tokenizer = tokenizer_of(bundle)
    return prompt_of(length, lambda text: len(tokenizer.encode(text, raw=False)))


def _result(
    runs: Sequence[Observed], settings: dict[str, int], threads: int, peak: int, places: Places
) -> dict[str, Any]:
    facts = places.facts
    return {
        "bundle": "",
        "settings": {
            "prompt_length": runs[-1].prompt_tokens,
            "decode_length": min(run.generated_tokens for run in runs),
            "warmup": settings["warmup"], "repetitions": len(runs), "threads": threads,
        },
        "machine": {
            "processor": facts.processor, "logical_cpus": facts.logical_cpus,
            "physical_cpus": facts.physical_cpus, "features": list(facts.features),
            "governor": None,
        },
        "load_seconds": statistics.median(run.load_seconds for run in runs),
        "time_to_first_token_seconds": spread([run.first_token_seconds for run in runs]),
        "prefill_tokens_per_second": spread([run.prefill_rate for run in runs]),
        "decode_tokens_per_second": spread([run.decode_rate for run in runs]),
        "peak_memory_bytes": peak,
    }  # fmt: skip
