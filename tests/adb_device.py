"""A device for tests that speaks adb's protocol over TCP, to the real client and server of adb.

Commands run in this machine's ``sh``; ``/data/local/tmp`` is a folder of the test, and ``getprop``
and ``dumpsys`` are scripts that print what a phone would. The protocol is that of AOSP's
packages/modules/adb: protocol.txt, SYNC.TXT, and shell_protocol.h for the streams of ``shell,v2``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_VERSION, _MAXIMUM = 0x01000000, 4096
_HEADER = struct.Struct("<4sIIIII")
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
_TEMPORARY = "/data/local/tmp"
_PROPERTIES = {
    "ro.product.manufacturer": "Samsung", "ro.product.model": "SM-S911B",
    "ro.soc.manufacturer": "Qualcomm", "ro.soc.model": "SM8550", "ro.board.platform": "kalama",
    "ro.build.version.release": "16",
}  # fmt: skip


@dataclass
class AdbDevice:
    """
    Attributes:
        state: ``device``, or ``unauthorized``: asks for a key and accepts none.
        commands: the scripts that were run; ``received``: the files that were pushed.
    """

    folder: Path
    state: str = "device"
    commands: list[str] = field(default_factory=list)
    received: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self.port}"

    def here(self, path: str) -> str:
        return path.replace(_TEMPORARY, str(self.folder / "tmp"))

    def serve(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=_Session(self, connection).run, daemon=True).start()

    def prepare(self) -> None:
        (self.folder / "tmp").mkdir(parents=True)
        tools = self.folder / "bin"
        tools.mkdir()
        cases = "\n".join(f"  {key}) echo '{value}' ;;" for key, value in _PROPERTIES.items())
        for name, text in {
            "getprop": f"case $1 in\n{cases}\nesac\n",
            "dumpsys": "case $1 in\n  battery) echo '  level: 84'; echo '  temperature: 312' ;;\n"
                       "  thermalservice) echo 'Thermal Status: 1'\n"
                       "    echo ' Temperature{mValue=41.5, mType=0, mName=CPU7, mStatus=0}' ;;\n"
                       "esac\n",
        }.items():  # fmt: skip
            (tools / name).write_text(f"#!/bin/sh\n{text}")
            (tools / name).chmod(0o755)


class _Session:
    """One connection of an adb server."""

    def __init__(self, device: AdbDevice, connection: socket.socket) -> None:
        self.device, self._connection = device, connection
        self._sending = threading.Lock()
        self._streams: dict[int, _Stream] = {}

    def run(self) -> None:
        with contextlib.suppress(OSError, EOFError), self._connection:
            while True:
                name, first, second, length, _, _ = _HEADER.unpack(self._read(_HEADER.size))
                self._on(name, first, second, self._read(length))
        for stream in self._streams.values():
            stream.close()

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._connection.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def send(self, name: bytes, first: int, second: int, data: bytes = b"") -> None:
        magic = struct.unpack("<I", name)[0] ^ 0xFFFFFFFF
        header = _HEADER.pack(name, first, second, len(data), sum(data) & 0xFFFFFFFF, magic)
        with self._sending:
            self._connection.sendall(header + data)

    def _on(self, name: bytes, first: int, second: int, data: bytes) -> None:
        if name in (b"CNXN", b"AUTH"):
            if self.device.state == "unauthorized":
                self.send(b"AUTH", 1, 0, b"t" * 20)
                return
            banner = "device::ro.product.model=SM_S911B;features=shell_v2,cmd"
            self.send(b"CNXN", _VERSION, _MAXIMUM, banner.encode())
        elif name == b"OPEN":
            service = data.rstrip(b"\0").decode()
            kind = _Sync if service.startswith("sync:") else _Shell
            stream = kind(self, len(self._streams) + 1, first, service)
            self._streams[stream.id] = stream
            self.send(b"OKAY", stream.id, first)
            threading.Thread(target=stream.run, daemon=True).start()
        elif (known := self._streams.get(second)) is not None:
            if name == b"WRTE":
                known.arrived(data)
                self.send(b"OKAY", second, first)
            elif name == b"OKAY":
                known.ready.release()
            elif name == b"CLSE":
                known.close()


class _Stream:
    def __init__(self, session: _Session, own: int, other: int, service: str) -> None:
        self.session, self.id, self.other, self.service = session, own, other, service
        self.device = session.device
        self.ready = threading.Semaphore(1)
        self._inbox = b""
        self._news = threading.Condition()
        self._closed = False

    def run(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            self.work()
        with contextlib.suppress(OSError):
            self.session.send(b"CLSE", self.id, self.other)

    def work(self) -> None:
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), _MAXIMUM):
            self.ready.acquire()
            if self._closed:
                raise EOFError
            self.session.send(b"WRTE", self.id, self.other, data[start : start + _MAXIMUM])

    def arrived(self, data: bytes) -> None:
        with self._news:
            self._inbox += data
            self._news.notify_all()

    def read(self, count: int) -> bytes:
        with self._news:
            self._news.wait_for(lambda: len(self._inbox) >= count or self._closed)
            if len(self._inbox) < count:
                raise EOFError
            data, self._inbox = self._inbox[:count], self._inbox[count:]
        return data

    def close(self) -> None:
        with self._news:
            self._closed = True
            self._news.notify_all()
        self.ready.release()


class _Shell(_Stream):
    def work(self) -> None:
        assert self.service.startswith("shell,v2"), self.service
        script = self.service.partition(":")[2]
        self.device.commands.append(script)
        path = f"{self.device.folder / 'bin'}:{os.environ['PATH']}"
        process = subprocess.Popen(
            ["sh", "-c", self.device.here(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**os.environ, "PATH": path}, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        threads = [
            threading.Thread(target=self._copy, args=(stream.fileno(), kind), daemon=True)
            for stream, kind in ((process.stdout, _STDOUT), (process.stderr, _STDERR))
        ]
        for thread in threads:
            thread.start()
        threading.Thread(target=self._feed, args=(process,), daemon=True).start()
        code = process.wait()
        for thread in threads:
            thread.join()
        self._packet(_EXIT, bytes([code & 0xFF]))

    def _copy(self, descriptor: int, kind: int) -> None:
        with contextlib.suppress(EOFError, OSError):
            while data := os.read(descriptor, 2048):
                self._packet(kind, data)

    def _packet(self, kind: int, data: bytes) -> None:
        with self.device_lock:
            self.write(struct.pack("<BI", kind, len(data)) + data)

    device_lock = threading.Lock()

    def _feed(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        try:
            while True:
                kind, length = struct.unpack("<BI", self.read(5))
                data = self.read(length)
                if kind == _CLOSE_STDIN:
                    break
                if kind == _STDIN:
                    process.stdin.write(data)
                    process.stdin.flush()
        except (EOFError, OSError):  # adbd sends SIGHUP when the connection ends
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGHUP)
        with contextlib.suppress(OSError):
            process.stdin.close()


class _Sync(_Stream):
    def work(self) -> None:
        while True:
            name, length = struct.unpack("<4sI", self.read(8))
            if name == b"QUIT":
                return
            said = self.read(length).decode()
            {b"STAT": self._stat, b"SEND": self._send}[name](said)

    def _stat(self, path: str) -> None:
        try:
            found = os.stat(self.device.here(path))
            facts = (found.st_mode, found.st_size, int(found.st_mtime))
        except OSError:
            facts = (0, 0, 0)
        self.write(struct.pack("<4sIII", b"STAT", *facts))

    def _send(self, said: str) -> None:
        path = said.rpartition(",")[0]
        self.device.received.append(path)
        data = b""
        while True:
            name, length = struct.unpack("<4sI", self.read(8))
            if name == b"DONE":
                break
            data += self.read(length)
        try:
            Path(self.device.here(path)).write_bytes(data)
        except OSError as error:
            reason = str(error.strerror).encode()
            self.write(struct.pack("<4sI", b"FAIL", len(reason)) + reason)
        else:
            self.write(struct.pack("<4sI", b"OKAY", 0))


@contextlib.contextmanager
def adb_device(folder: Path, state: str = "device") -> Iterator[AdbDevice]:
    device = AdbDevice(folder, state)
    device.prepare()
    with socket.create_server(("127.0.0.1", 0)) as server:
        device.port = server.getsockname()[1]
        threading.Thread(target=device.serve, args=(server,), daemon=True).start()
        yield device


@contextlib.contextmanager
def adb_server(home: Path) -> Iterator[dict[str, str]]:
    """A server of adb with a port and keys of its own -> the environment that clients need."""
    adb = shutil.which("adb")
    assert adb is not None
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    env = {
        "ANDROID_ADB_SERVER_PORT": str(port), "HOME": str(home), "ADB_MDNS": "0",
        "ADB_VENDOR_KEYS": "", "TMPDIR": str(home), "ADB_TRACE": "",
    }  # fmt: skip
    subprocess.run([adb, "start-server"], env={**os.environ, **env}, check=True, timeout=300,
                   capture_output=True)  # fmt: skip
    try:
        yield env
    finally:
        subprocess.run([adb, "kill-server"], env={**os.environ, **env}, timeout=300,
                       capture_output=True)  # fmt: skip
