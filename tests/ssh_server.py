"""A real OpenSSH server for tests: keys, port and configuration of its own, on the loopback."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def missing() -> str:
    """Why no server can be started here; empty if one can."""
    if shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        return "no OpenSSH client here"
    if SSHD is None:
        return "no sshd here: apt-get install openssh-server"
    separation = Path("/run/sshd")
    if os.geteuid() == 0 and not separation.is_dir():
        with contextlib.suppress(OSError):
            separation.mkdir(mode=0o755)
        if not separation.is_dir():
            return "sshd needs /run/sshd"
    return ""


@dataclass(frozen=True)
class SshServer:
    """
    Attributes:
        command: ssh with the configuration that knows the server's key and has a login.
    """

    port: int
    command: str
    folder: Path

    @property
    def address(self) -> str:
        return f"ssh:127.0.0.1:{self.port}"

    def command_with(self, **settings: str) -> str:
        words = (shlex.quote(f'-o{key}="{value}"') for key, value in settings.items())
        return " ".join([self.command, *words])


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[SshServer]:
    for name in ("host", "login", "stranger"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True
        )
    shutil.copy(folder / "login.pub", folder / "authorized")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (folder / "sshd_config").write_text(
        f'Port {port}\nListenAddress 127.0.0.1\nHostKey "{folder}/host"\n'
        f'AuthorizedKeysFile "{folder}/authorized"\nPidFile "{folder}/pid"\nStrictModes no\n'
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
        # As in a shell within a shell, bash then reads no start-up file of the user.
        "SetEnv SHLVL=2\n"
    )
    kind, key = (folder / "host.pub").read_text().split()[:2]
    (folder / "known").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    (folder / "config").write_text(
        f'IdentityFile "{folder}/login"\nIdentitiesOnly yes\nIdentityAgent none\n'
        f'UserKnownHostsFile "{folder}/known"\nGlobalKnownHostsFile /dev/null\n'
    )
    assert SSHD is not None
    server = subprocess.Popen(
        [SSHD, "-D", "-f", str(folder / "sshd_config"), "-E", str(folder / "log")]
    )
    try:
        for _ in range(1200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield SshServer(port, f"ssh -F {shlex.quote(str(folder / 'config'))}", folder)
    finally:
        server.terminate()
        server.wait()
