"""A device that runs commands of a POSIX shell and takes files."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from llm_export.errors import TargetError
from llm_export.targets.command import Finished, run_command

SHORT = 60.0
"""Time limit in seconds of commands that compute nothing."""


class Target(ABC):
    """A connection to a device; a context manager that closes it.

    Attributes:
        address: as the user wrote it.
        root: absolute path of the folder on the device that holds all that is pushed.
    """

    address: str
    root: str

    @abstractmethod
    def argv(self, script: str) -> list[str]:
        """The command of this machine that runs a script of ``sh`` on the device, with the standard
        streams and the exit code of the script."""

    @abstractmethod
    def put(self, local: Path, remote: str) -> None:
        """Copy a file to the device; the folder of ``remote`` exists.

        Raises:
            TargetError: the copy failed.
        """

    def lost(self, done: Finished) -> TargetError | None:
        """The reason why the connection failed; None for a failure of the command itself."""
        return None

    def close(self) -> None:  # noqa: B027 - only some have one
        """End the connection."""

    def run(
        self,
        script: str,
        *,
        timeout: float | None = SHORT,
        stdin: Path | None = None,
        hold_stdin: bool = False,
    ) -> Finished:
        """Run a script of ``sh`` on the device.

        Args:
            timeout: seconds; None is no limit.
            stdin: a file of this machine for its standard input.
            hold_stdin: keep its standard input open and empty until it ends or is given up, so that
                a ``supervised`` command notices.

        Raises:
            TargetError: the connection failed, or the time is over.
        """
        done = run_command(self.argv(script), timeout=timeout, stdin=stdin, hold_stdin=hold_stdin)
        if done.timed_out:
            fix = (
                "shorter lengths, fewer repetitions, or a longer --time-limit"
                if hold_stdin
                else "is it still connected, and awake?"
            )
            raise TargetError(
                f"the device did not finish within {timeout:.0f} s", where=self.address, fix=fix
            )
        if done.code and (reason := self.lost(done)) is not None:
            raise reason
        return done

    def checked(self, script: str, what: str, *, timeout: float | None = SHORT) -> str:
        """Standard output of a script that must succeed.

        Args:
            what: what fails, for the message.

        Raises:
            TargetError: it fails.
        """
        done = self.run(script, timeout=timeout)
        if done.code:
            raise TargetError(f"{what}: {done.reason}", where=self.address)
        return done.out

    def free_bytes(self, folder: str) -> int:
        """Space that is left on the file system of an existing folder.

        Raises:
            TargetError: the device does not tell.
        """
        out = self.checked(f"df -Pk {shlex.quote(folder)}", "the device does not tell its space")
        try:
            return int(out.splitlines()[-1].split()[3]) * 1024
        except (IndexError, ValueError):
            raise TargetError(
                "the device does not tell its free space", where=f"{self.address}: {out.strip()}"
            ) from None

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files, and folders with all that they hold; those not there are left out.

        Raises:
            TargetError: one cannot be removed, or is not below ``root``.
        """
        listed = list(paths)
        for path in listed:
            if not path.startswith(f"{self.root}/") or ".." in path.split("/"):
                raise TargetError(f"{path} is not in {self.root}", where=self.address)
        if listed:
            words = " ".join(map(shlex.quote, listed))
            self.checked(f"rm -rf -- {words}", "what was pushed cannot be removed")

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@dataclass(frozen=True)
class TargetKind:
    """A way to reach devices.

    Attributes:
        usage: form of an address, e.g. ``ssh:[USER@]HOST[:PORT]``.
        open: connects; takes what follows the kind and the colon in the address. Raises RecipeError
            for another form, TargetError if the device cannot be reached.
        python: whether such devices usually have Python; otherwise a runner must be given.
    """

    usage: str
    open: Callable[[str], Target]
    python: bool = True
