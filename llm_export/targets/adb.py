"""An Android device reached by adb, the Android Debug Bridge."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from llm_export.errors import MissingDependencyError, TargetError
from llm_export.targets.adb_devices import PASSING, Device, devices_of, the_device
from llm_export.targets.base import Target, TargetKind
from llm_export.targets.command import Finished, run_command

ROOT = "/data/local/tmp/llm_export"
"""The only folder where the user of ``adb shell`` may both write and execute."""
_INSTALL = (
    "install Android's platform-tools, e.g. apt-get install adb, or "
    "https://developer.android.com/tools/releases/platform-tools"
)
_LOST = re.compile(
    r"^(adb: )?(error: )?(device '.*' not found|device offline|device unauthorized|closed"
    r"|no devices/emulators found|protocol fault.*)",
    re.MULTILINE,
)
_NETWORK = re.compile(r"[\w.-]+:\d+|\[[0-9A-Fa-f:.]+\]:\d+")
_LONG, _SETTLES = 3600.0, 5.0
"""Time limits in seconds: of a copy, and of a device that is just being connected."""


class AdbTarget(Target):
    def __init__(self, serial: str) -> None:
        self.address = f"adb:{serial}" if serial else "adb"
        self.root = ROOT
        self._adb = _client()
        devices = self._devices()
        if serial and _NETWORK.fullmatch(serial) and all(d.serial != serial for d in devices):
            self._adb_checked("connect", serial)
            devices = self._devices()
        end = time.monotonic() + _SETTLES
        while any(d.state in PASSING for d in devices) and time.monotonic() < end:
            time.sleep(0.2)
            devices = self._devices()
        self._serial = the_device(devices, serial).serial

    def _devices(self) -> list[Device]:
        return devices_of(self._adb_checked("devices", "-l"))

    def _adb_checked(self, *words: str) -> str:
        done = run_command([self._adb, *words], timeout=60)
        if done.code or done.timed_out:
            raise TargetError(f"adb {words[0]} failed: {done.reason}", where=self.address,
                              fix="adb kill-server, and then again")  # fmt: skip
        return done.out

    def argv(self, script: str) -> list[str]:
        return [self._adb, "-s", self._serial, "shell", "-T", script]

    def put(self, local: Path, remote: str) -> None:
        # adb copies a link as a link.
        done = run_command([self._adb, "-s", self._serial, "push", str(local.resolve()), remote],
                           timeout=_LONG)  # fmt: skip
        if done.code or done.timed_out:
            # A summary of the transfer may follow the reason.
            said = re.search(r"error: (failed to copy .*?: )?(.*)", f"{done.err}\n{done.out}")
            raise self.lost(done) or TargetError(
                f"adb push of {local.name} failed: {said[2] if said else done.reason}",
                where=self.address,
            )

    def lost(self, done: Finished) -> TargetError | None:
        found = _LOST.search(done.err)
        if found is None:
            return None
        return TargetError(f"the connection to the device is lost: {found[0]}", where=self.address,
                           fix="adb devices must list it as 'device'; check cable and "
                           "screen")  # fmt: skip


def _client() -> str:
    """Raises MissingDependencyError without adb in PATH and in Android's SDK."""
    for place in _places():
        if (found := shutil.which("adb", path=place)) is not None:
            return found
    raise MissingDependencyError("there is no program 'adb' here", where="PATH", fix=_INSTALL)


def _places() -> Iterator[str | None]:
    yield None
    for variable in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        if os.environ.get(variable):
            yield os.path.join(os.environ[variable], "platform-tools")


TARGET = TargetKind("adb[:SERIAL]", AdbTarget, python=False)
"""Android devices, by the system's adb client."""
