"""A device reached by the system's OpenSSH client, with the user's own configuration."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from llm_export.errors import MissingDependencyError, RecipeError, TargetError
from llm_export.targets.base import Target, TargetKind
from llm_export.targets.command import Finished, run_command
from llm_export.targets.ssh_failures import reason_of

PROGRAM = "LLM_EXPORT_SSH"
"""Environment variable: the ssh client and options, such as ``ssh -F my_config``."""
_FAILED = 255
"""Exit code of ssh when the connection itself failed."""
_ROOT = 'echo "${XDG_CACHE_HOME:-$HOME/.cache}/llm_export/target"'
_LONG = 3600.0
"""Time limit in seconds of a copy."""
_HOST = re.compile(r"[\w.%-]+|\[[0-9A-Fa-f:.%\w]+\]|[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:]*")


@dataclass(frozen=True)
class SshAddress:
    """[USER@]HOST[:PORT]; an IPv6 address with a port is in brackets."""

    user: str | None
    host: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> SshAddress:
        """Raises RecipeError if ``text`` is of another form."""
        user, at, place = text.rpartition("@")
        port = None
        if (end := re.fullmatch(r"(\[.*\]|[^:\[\]]+):(\d+)", place)) is not None:
            place, port = end[1], int(end[2])
        # A leading dash would be an option of ssh.
        sound = _HOST.fullmatch(place) and not place.startswith("-") and port != 0
        if not sound or (at and not re.fullmatch(r"[\w.+][\w.+@-]*", user)):
            raise RecipeError(
                f"'ssh:{text}' is no address", fix=f"--target {USAGE}, e.g. ssh:pi@raspberrypi:22"
            )
        if port is not None and port > 65535:
            raise RecipeError(f"there is no port {port}", fix="a port up to 65535")
        return cls(user if at else None, place.strip("[]"), port)

    def words(self) -> list[str]:
        """Arguments of ssh."""
        port = ["-p", str(self.port)] if self.port is not None else []
        return [*port, "--", f"{self.user}@{self.host}" if self.user else self.host]


class SshTarget(Target):
    """One connection is made and shared by all commands."""

    def __init__(self, rest: str) -> None:
        self.address = f"ssh:{rest}"
        self.place = SshAddress.parse(rest)
        self._program = _client()
        # The name of a socket has at most about a hundred bytes, which TMPDIR may exceed.
        base = "/tmp" if os.path.isdir("/tmp") and os.access("/tmp", os.W_OK) else None
        self._folder = tempfile.mkdtemp(prefix="llm_export_", dir=base)
        try:
            self.root = self.checked(_ROOT, "the device has no home folder").strip()
            if not self.root.startswith("/"):
                raise TargetError(
                    f"the device's home folder is no absolute path: {self.root}",
                    where=self.address, fix="set HOME on the device",
                )  # fmt: skip
        except BaseException:
            self.close()
            raise

    def argv(self, script: str) -> list[str]:
        # The user's shell on the device may be another than sh.
        return [*self._options(), *self.place.words(), f"exec sh -c {shlex.quote(script)}"]

    def _options(self) -> list[str]:
        settings = {
            "BatchMode": "yes", "ConnectTimeout": "15", "ServerAliveInterval": "15",
            "ControlMaster": "auto", "ControlPath": f"{self._folder}/c", "ControlPersist": "60",
            "ClearAllForwardings": "yes", "LogLevel": "ERROR",
        }  # fmt: skip
        return [*self._program, "-T", *(f"-o{key}={value}" for key, value in settings.items())]

    def put(self, local: Path, remote: str) -> None:
        done = self.run(f"cat > {shlex.quote(remote)}", stdin=local, timeout=_LONG)
        if done.code:
            raise TargetError(f"{local.name} cannot be copied to the device: {done.reason}",
                              where=self.address)  # fmt: skip

    def lost(self, done: Finished) -> TargetError | None:
        if done.code != _FAILED or self._connected():
            return None
        what, fix = reason_of(done.err, self.place.host, self.place.port, self.place.user)
        return TargetError(what, where=self.address, fix=fix)

    def _connected(self) -> bool:
        """Whether the shared connection holds: the command itself may have ended with this code."""
        return (
            run_command([*self._options(), "-O", "check", *self.place.words()], timeout=10).code
            == 0
        )

    def close(self) -> None:
        with contextlib.suppress(OSError):
            run_command([*self._options(), "-O", "exit", *self.place.words()], timeout=10)
        shutil.rmtree(self._folder, ignore_errors=True)


def _client() -> list[str]:
    words = shlex.split(os.environ.get(PROGRAM, "")) or ["ssh"]
    if shutil.which(words[0]) is None:
        raise MissingDependencyError(
            f"there is no program '{words[0]}' here",
            where=f"${PROGRAM}" if PROGRAM in os.environ else "PATH",
            fix="install OpenSSH's client, e.g. apt-get install openssh-client",
        )
    return words


USAGE = "ssh:[USER@]HOST[:PORT]"
TARGET = TargetKind(USAGE, SshTarget)
"""Linux and macOS machines, by the system's ssh client."""
