"""Wall time and peak memory of a stage."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from runtime_py.memory import resident

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class ResourceUsage:
    """Context manager that measures ``seconds``, ``cpu_seconds`` and ``peak_bytes`` (resident).

    On Linux it resets and reads the kernel's peak RSS (VmHWM), which is exact; where that is not
    allowed, a thread samples the RSS.
    """

    seconds = 0.0
    cpu_seconds = 0.0
    peak_bytes = 0

    def __enter__(self) -> ResourceUsage:
        self._exact = _reset_high_water()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if not self._exact:
            self._thread = threading.Thread(target=self._sample, daemon=True)
            self._thread.start()
        self._begin, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self._begin
        self.cpu_seconds = time.process_time() - self._cpu
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
        else:
            self.peak_bytes = _high_water()

    def _sample(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, resident())
            if self._stop.wait(0.05):
                return


def _reset_high_water() -> bool:
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return _STATUS.is_file()


def _high_water() -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
