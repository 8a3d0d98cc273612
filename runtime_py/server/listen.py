"""Run the application on a port."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import uvicorn

from runtime_py.errors import BundleRuntimeError
from runtime_py.server.app import application
from runtime_py.server.loading import Loading
from runtime_py.server.log import LOGGER
from runtime_py.server.serving import Serving
from runtime_py.server.settings import Settings
from runtime_py.store import Store


def listen(bundle: str | Path, settings: Settings) -> None:
    """As ``serve``."""
    _check_store(settings)
    failures: list[BaseException] = []

    def failed(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    load = Loading(bundle, settings)
    serving = Serving(settings, load, failed)
    server = _Server(serving)
    with _bound(settings) as listener, _logging():
        load.open_local()
        _warn(settings)
        announcing = threading.Thread(
            target=_announce, args=(serving, address(listener)), daemon=True
        )
        serving.start()
        announcing.start()
        try:
            server.run(sockets=[listener])
        finally:
            serving.close()
    if failures:
        raise failures[0]


@contextlib.contextmanager
def background(bundle: str | Path, settings: Settings) -> Iterator[tuple[str, Serving]]:
    """Serve within a ``with`` block, in threads: (address, what serves). The bundle is loaded when
    the block begins.

    Raises:
        BundleRuntimeError: as ``serve``.
    """
    _check_store(settings)
    failures: list[BaseException] = []
    serving = Serving(settings, Loading(bundle, settings), failures.append)
    server = _Server(serving)
    with _bound(settings) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        serving.start()
        thread.start()
        try:
            serving.wait()
            if failures:
                raise failures[0]
            yield address(listener), serving
        finally:
            server.should_exit = True
            serving.close()
            thread.join()


class _Server(uvicorn.Server):
    """A first signal lets running answers end; a second one ends at once."""

    def __init__(self, serving: Serving) -> None:
        super().__init__(
            uvicorn.Config(
                application(serving), lifespan="off", ws="none", access_log=False,
                log_config=None, server_header=False, timeout_graceful_shutdown=2,
            )
        )  # fmt: skip
        self._serving = serving
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._serving.state == "stopping":
            self.should_exit = self.force_exit = True
        else:
            self._serving.stop()

    async def on_tick(self, counter: int) -> bool:
        if self._serving.state == "stopping" and self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        return await super().on_tick(counter)

    async def _drain(self) -> None:
        """Wait for what runs; new requests are refused meanwhile."""
        left = self._serving.settings.grace
        while self._serving.running and left > 0:
            await asyncio.sleep(0.05)
            left -= 0.05
        self._serving.cancel_running()
        self.should_exit = True


@contextlib.contextmanager
def _bound(settings: Settings) -> Iterator[socket.socket]:
    """A socket that listens."""
    where = f"{settings.host}:{settings.port}"
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise BundleRuntimeError(f"the address cannot be used: {error}", where=where) from None
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
            listener.listen(128)
        except OSError as error:
            raise BundleRuntimeError(
                f"the server cannot listen: {error.strerror}", where=where,
                fix="another --port, or --port 0 for a free one",
            ) from None  # fmt: skip
        yield listener


def address(listener: socket.socket) -> str:
    """http://HOST:PORT"""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _announce(serving: Serving, where: str) -> None:
    print(f"loading; listening on {where}", file=sys.stderr, flush=True)
    serving.wait()
    if serving.state == "ok":
        print(f"serving {serving.model_name} on {where}/v1", file=sys.stderr, flush=True)


def _check_store(settings: Settings) -> None:
    """
    Raises:
        BundleRuntimeError: the file is no store.
    """
    if settings.store is not None:
        Store(settings.store).close()


def _warn(settings: Settings) -> None:
    if not settings.loopback and not settings.api_keys:
        print(
            f"warning: anybody who reaches {settings.host}:{settings.port} can use the model\n"
            "  fix:   --api-key-file FILE, or --host 127.0.0.1",
            file=sys.stderr,
        )


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    """The lines of requests go to stderr as they are."""
    handler = logging.StreamHandler(sys.stderr)
    level, propagate = LOGGER.level, LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
        LOGGER.propagate = propagate
