"""Entry points for atheris: python tests/fuzz_targets.py NAME SEEDS... -max_total_time=SECONDS.

Each takes any bytes; only errors of llm_export may leave it, and nothing may be written but what
it names itself.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

_READERS = ["llm_export", "runtime_py", "yaml", "zipfile", "tarfile", "omegaconf"]
with atheris.instrument_imports(include=_READERS):
    from llm_export.bundle.opened import opened
    from llm_export.bundle.verify import _manifest
    from llm_export.config.compose import Composer
    from llm_export.config.library import LOCK, ORIGIN
    from llm_export.config.plain_yaml import parse_plain
    from llm_export.errors import LlmExportError
    from llm_export.sharing.archive import read_archive
    from llm_export.sharing.examine import examine
    from llm_export.sharing.git import GitSource
    from llm_export.sharing.index import listed
    from llm_export.sharing.locked import read_lock

SCRATCH = Path(tempfile.mkdtemp(prefix="llm_export-fuzz-"))


def text(data: bytes) -> None:
    parse_plain(data, "it")


def recipe(data: bytes) -> None:
    examine({"it.yaml": data}, "it")


def lock(data: bytes) -> None:
    (SCRATCH / ORIGIN).write_text("{}")
    (SCRATCH / LOCK).write_bytes(data)
    read_lock(str(SCRATCH / LOCK))
    Composer(str(SCRATCH / LOCK)).compose()


def override(data: bytes) -> None:
    Composer().compose([data.decode("utf-8", "replace")])


def manifest(data: bytes) -> None:
    (SCRATCH / "manifest.json").write_bytes(data)
    _manifest(SCRATCH)


def index(data: bytes) -> None:
    listed({"share.json": data, "it.yaml": b""}, "it")


def address(data: bytes) -> None:
    GitSource.parse("git+" + data.decode("utf-8", "replace"))


def archive_zip(data: bytes) -> None:
    (SCRATCH / "it.zip").write_bytes(data)
    read_archive(SCRATCH / "it.zip")


def archive_tar(data: bytes) -> None:
    """Packed here: a fuzzer would have to guess gzip's checksum."""
    import gzip

    (SCRATCH / "it.tar.gz").write_bytes(gzip.compress(data, 1))
    read_archive(SCRATCH / "it.tar.gz")


def packed(data: bytes) -> None:
    (SCRATCH / "it.llmbundle").write_bytes(data)
    opened(SCRATCH / "it.llmbundle")


TARGETS = (
    text, recipe, lock, override, manifest, index, address, archive_zip, archive_tar, packed,
)  # fmt: skip


def guarded(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        with contextlib.suppress(LlmExportError):
            target(data)

    return run


if __name__ == "__main__":
    chosen = {target.__name__: target for target in TARGETS}[sys.argv.pop(1)]
    atheris.Setup(sys.argv, guarded(chosen))
    atheris.Fuzz()
