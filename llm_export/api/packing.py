"""Pack a bundle in one file, and unpack it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_export.packing.pack import PackedBundle
    from llm_export.packing.unpack import UnpackedBundle


def pack(
    bundle: str | Path, file: str | Path | None = None, *, layout: str = "bundle"
) -> PackedBundle:
    """Write a bundle to one file, a zip archive that ``load`` and functions that only read a
    bundle take instead of its folder, and that ExecuTorch loads by its path as a program. The same
    bundle gives the same bytes.

    Args:
        file: None: beside the folder. A packed bundle there is replaced.
        layout: ``bundle``; or ``etm``, with the metadata.json of ExecuTorch's RFC #17640.

    Raises:
        BundleError: not a bundle, or damaged.
        InputError: the file cannot be written, or would replace one of another kind.
    """
    from llm_export.api.bundles import runtime_errors
    from llm_export.bundle.opened import to_change
    from llm_export.packing.pack import pack

    with runtime_errors():
        return pack(to_change(bundle), None if file is None else Path(file), layout)


def unpack(file: str | Path, folder: str | Path | None = None) -> UnpackedBundle:
    """Write a packed bundle's files to a folder; each must be as the manifest says.

    Args:
        folder: absent or empty; None: beside the file.

    Raises:
        BundleError: not a packed bundle, damaged, or made to do harm.
        InputError: the folder cannot be written.
    """
    from llm_export.api.bundles import runtime_errors
    from llm_export.packing.unpack import unpack

    with runtime_errors():
        return unpack(Path(file), None if folder is None else Path(folder))


@contextlib.contextmanager
def as_folder(bundle: str | Path) -> Iterator[Path]:
    """Context manager: a bundle's folder with all of its files, of a packed one unpacked for so
    long."""
    from runtime_py.packed import is_packed

    if not is_packed(bundle):
        yield Path(bundle)
        return
    with tempfile.TemporaryDirectory(prefix="llm_export-unpacked-") as scratch:
        yield unpack(bundle, Path(scratch) / Path(bundle).stem).folder
