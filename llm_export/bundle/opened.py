"""A bundle that a user named: a folder, or a file of ``llm-export pack``."""

from __future__ import annotations

from pathlib import Path

from llm_export.errors import BundleError, bundle_errors
from runtime_py.packed import folder_of, is_packed


def opened(bundle: str | Path) -> Path:
    """The folder with a bundle's files, to be read only: that of a packed bundle ends with this
    process, and its program is a link to the packed file.

    Raises:
        BundleError: a file that is no packed bundle, or cannot be loaded as it is.
    """
    with bundle_errors():
        return folder_of(bundle)


def to_change(bundle: str | Path) -> Path:
    """The folder of a bundle that is to be changed, or of which all files are needed.

    Raises:
        BundleError: the bundle is packed in a file.
    """
    if is_packed(bundle):
        raise BundleError(
            "this takes a bundle's folder, not a packed bundle", where=str(bundle),
            fix=f"llm-export unpack {bundle} FOLDER",
        )  # fmt: skip
    return Path(bundle)
