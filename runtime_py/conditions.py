"""The conditions of a benchmark: the processor, and what else the machine was doing."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

SHARE, SLACK = 0.1, 0.25
"""Other processes disturb a benchmark if they keep more than this share of the CPUs busy, or more
CPUs than the benchmark's threads leave idle, and this much of one more."""
_LEAST = 0.5
"""Seconds over which the load of others is measured at least."""
_GOVERNORS = "sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"


class OtherLoad:
    """Context manager that measures how many CPUs other processes kept busy.

    That is the busy time of all CPUs less that of this process and its finished children. Time
    that a hypervisor took away (steal) counts as busy.

    Attributes:
        before: load average of the last minute when the context was entered; None where the
            system has none. It includes what this process did in that minute.
        cpus: CPUs that others kept busy on average; None until the context is left, and where the
            system does not tell.
    """

    before: float | None = None
    cpus: float | None = None

    def __enter__(self) -> OtherLoad:
        with contextlib.suppress(OSError, AttributeError):
            self.before = os.getloadavg()[0]
        self._start = time.perf_counter()
        self._all, self._own = _busy_seconds(), _own_seconds()
        return self

    def __exit__(self, *error: object) -> None:
        if self._all is None:
            return
        # The system counts in hundredths of a second: watch a short measurement longer.
        time.sleep(max(0.0, _LEAST - (time.perf_counter() - self._start)))
        self._ended = self.so_far()
        others, seconds = self._ended
        self.cpus = max(0.0, others / seconds)

    def so_far(self) -> tuple[float, float]:
        """(CPU seconds of other processes, seconds) since the context was entered. Children count
        as others until they have ended."""
        seconds = time.perf_counter() - self._start
        if self._all is None:
            return 0.0, seconds
        others = ((_busy_seconds() or self._all) - self._all) - (_own_seconds() - self._own)
        return others, seconds

    def conditions(
        self,
        machine: Mapping[str, Any],
        threads: int,
        earlier: tuple[float, float] = (0.0, 0.0),
    ) -> dict[str, Any] | None:
        """What a benchmark records of it; None where the system does not tell.

        Args:
            machine: what ``processor`` tells.
            threads: of the benchmark, at most.
            earlier: as of ``so_far``, of a part that was measured before this context.
        """
        if self.cpus is None:
            return None
        others, seconds = (a + b for a, b in zip(self._ended, earlier, strict=True))
        cpus = max(0.0, others / seconds)
        return {
            "load_average_before": self.before,
            "other_cpus": cpus,
            "disturbed": is_disturbed(cpus, machine["logical_cpus"] or threads, threads),
        }


def _busy_seconds() -> float | None:
    """None without /proc."""
    try:
        times = psutil.cpu_times()
    except (psutil.Error, OSError):
        return None
    idle = times.idle + getattr(times, "iowait", 0.0)
    # guest times are part of user and nice.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - guests - idle)


def _own_seconds() -> float:
    return sum(os.times()[:4])


def is_disturbed(other_cpus: float, cpus: int, threads: int) -> bool:
    """Whether other processes that kept ``other_cpus`` CPUs busy make the figures doubtful."""
    return other_cpus > min(SHARE * cpus, max(0, cpus - threads) + SLACK)


def usable_processors() -> int:
    """Those that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def processor() -> dict[str, Any]:
    """Name, CPUs, instruction sets and frequency governor of this machine's processor.

    Features are those that torch finds with cpuinfo, the library by which XNNPACK chooses its
    kernels: avx2, avx512_vnni, amx_int8, neon, dot, i8mm and so on.
    """
    import torch

    found: Mapping[str, Any] = torch.cpu.get_capabilities()
    features = sorted(name for name, value in found.items() if value is True)
    return {
        "processor": str(found.get("cpu_name") or cpu_name()),
        "logical_cpus": psutil.cpu_count(),
        "physical_cpus": psutil.cpu_count(logical=False),
        "features": features,
        "governor": governor(),
    }


def governor(root: Path = Path("/")) -> str | None:
    """The frequency governors of all CPUs; None where the system does not tell."""
    names = set()
    for file in root.glob(_GOVERNORS):
        try:
            names.add(file.read_text(encoding="utf-8").strip())
        except OSError:
            continue
    return ", ".join(sorted(names)) or None


def cpu_name() -> str:
    """The processor's name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


_TOLD = (
    "avx2", "avx_vnni", "avx512_f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
    "neon", "dot", "i8mm", "fp16_arith", "bf16", "sve", "sve2", "sme", "sme2",
)  # fmt: skip


def told_features(features: list[str] | tuple[str, ...]) -> str:
    """The features that decide which matrix kernels run; of all the others, nothing."""
    return ", ".join(name for name in _TOLD if name in features)
