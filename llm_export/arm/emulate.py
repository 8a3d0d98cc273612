"""Run the calls of a program at one level of processor features."""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from llm_export.arm.calls import Call
from llm_export.arm.levels import Level
from llm_export.arm.parts import Emulation
from llm_export.errors import LlmExportError

BY_REFERENCE = "llama::"
"""Operators that ExecuTorch's C++ libraries lack: those that the runner has are its own."""
_GRACE = 3.0
"""Times the allowed seconds after which a process that does not stop by itself is ended."""
_QUESTION = 60.0
"""Seconds for a question to the emulator, or to the runner in it, that takes less than one."""


class NotEmulated(LlmExportError):
    """The emulator does not have a processor of that level, or did not finish in time."""


@dataclass(frozen=True)
class Computed:
    """
    Attributes:
        cpu: of the emulator.
        rows: [calls with a row, V] float32, of the calls that were made.
        seconds: of the whole process.
    """

    cpu: str
    rows: Tensor
    seconds: float


def version_of(emulation: Emulation) -> str:
    """Name and version of the emulator, such as qemu-aarch64 7.2.22."""
    done = _asked([str(emulation.emulator), "--version"])
    match = re.search(r"(\S+) version (\S+)", done.stdout)
    return " ".join(match.groups()) if match else emulation.emulator.name


def operators(emulation: Emulation) -> frozenset[str]:
    """Those that the runner has kernels of.

    Raises:
        NotEmulated: the emulator does not run it.
    """
    done = _asked(_command(emulation, "max", "--operators"))
    if done.returncode:
        raise NotEmulated(f"{emulation.emulator.name} does not run the runner: {_last_words(done)}")
    return frozenset(done.stdout.splitlines()[1:])


def computed(
    emulation: Emulation,
    level: Level,
    program: Path,
    calls: Sequence[Call],
    vocabulary: int,
    *,
    token_dtype: str,
    seconds: float,
    data: Path | None = None,
) -> Computed:
    """The logits that the program's calls give at this level.

    Args:
        vocabulary: logits of a row.
        seconds: after which no further call is made.
        data: the .ptd file with the weights that are not in ``program``.

    Raises:
        NotEmulated: the emulator has no such processor, or does not finish.
        LlmExportError: the program cannot be loaded or fails there.
    """
    cpu = cpu_of(emulation, level)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        lines, out = Path(folder, "calls.txt"), Path(folder, "logits.bin")
        lines.write_text("".join(f"{call.line()}\n" for call in calls))
        flags = [
            f"--model_path={program}", f"--calls={lines}", f"--out={out}",
            f"--seconds={seconds}", f"--token_dtype={token_dtype}",
            f"--share_memory={'true' if len({call.method for call in calls}) > 1 else 'false'}",
            *([f"--data_path={data}"] if data else []),
        ]  # fmt: skip
        try:
            done = subprocess.run(
                _command(emulation, cpu, *flags), capture_output=True, text=True, errors="replace",
                timeout=_GRACE * seconds + 10,
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            raise NotEmulated(f"it did not end within {late.timeout:.0f} s") from None
        if done.returncode == -signal.SIGKILL:
            raise NotEmulated("the system ended the emulator, as it does without memory")
        if done.returncode:
            raise LlmExportError(f"the program fails: {_last_words(done)}", where=str(program))
        rows = torch.from_file(
            str(out), shared=False, size=out.stat().st_size // 4, dtype=torch.float32
        ).clone() if out.stat().st_size else torch.empty(0)  # fmt: skip
    return Computed(cpu, rows.view(-1, vocabulary), time.monotonic() - begin)


@lru_cache
def cpu_of(emulation: Emulation, level: Level) -> str:
    """The first of the level's processors that the emulator has, with the features that it says.

    Raises:
        NotEmulated: there is none.
    """
    for cpu in level.cpus:
        done = _asked(_command(emulation, cpu, "--operators"))
        match = re.match(r"features ([0-9a-f]+) ([0-9a-f]+)\n", done.stdout)
        if match and level.fits(int(match[1], 16), int(match[2], 16)):
            return cpu
    raise NotEmulated(f"{emulation.emulator.name} has no processor of that kind")


def _asked(command: list[str]) -> subprocess.CompletedProcess[str]:
    """
    Raises:
        NotEmulated: the program does not start, or does not end.
    """
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_QUESTION
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotEmulated(f"{Path(command[0]).name} does not run: {error}") from None


def _command(emulation: Emulation, cpu: str, *flags: str) -> list[str]:
    return [
        str(emulation.emulator), "-cpu", cpu, "-L", str(emulation.sysroot),
        "-E", f"LD_LIBRARY_PATH={emulation.libraries}", str(emulation.runner), *flags,
    ]  # fmt: skip


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"the emulator ended by signal {-done.returncode}"
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return said[-1][:200] if said else f"exit status {done.returncode}"
