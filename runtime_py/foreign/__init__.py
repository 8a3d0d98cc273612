"""Programs that llm_export did not make: of ExecuTorch's export_llm, optimum-executorch,
transformers.exporters, model zoos and apps.

What a manifest would say is read from the program (its methods, what they take, and the constants
that it returns) and from the files of its tokenizer. The result is a bundle like any other.
"""

from __future__ import annotations

from pathlib import Path

from runtime_py.bundle import Bundle
from runtime_py.errors import ArgumentError
from runtime_py.foreign.hub import fetched, is_hub_id
from runtime_py.manifest import MANIFEST
from runtime_py.packed import is_packed

__all__ = ["is_foreign", "opened"]


def opened(path: str | Path | Bundle, tokenizer: str | Path | None = None) -> Bundle:
    """Open a bundle, or a program without a manifest.

    Args:
        path: a folder, a packed bundle, a .pte file, or on the hub ORG/NAME, ORG/NAME@REVISION or
            ORG/NAME/FOLDER/FILE.pte. A bundle that is open is returned as it is.
        tokenizer: for programs without a manifest: tokenizer.json, a folder with it, or ORG/NAME;
            None looks beside the program, and in the folders above it up to ``path``.

    Raises:
        BundleRuntimeError: it is neither, or lacks what is needed to run it, which is named.
        ArgumentError: a tokenizer is given for a bundle.
    """
    if isinstance(path, Bundle):
        local, is_bundle = path.path, True
    else:
        local = fetched(path) if is_hub_id(path) else Path(path)
        is_bundle = not is_foreign(local)
    if is_bundle:
        if tokenizer is not None:
            raise ArgumentError(
                "tokenizer is for programs without a manifest; this is a bundle, which has its own",
                fix="leave tokenizer out",
            )
        return path if isinstance(path, Bundle) else Bundle.open(local)
    from runtime_py.foreign.view import bundle_of

    where = None if tokenizer is None else \
        fetched(tokenizer, tokenizer=True) if is_hub_id(tokenizer) else Path(tokenizer)  # fmt: skip
    return bundle_of(local, where)


def is_foreign(path: Path) -> bool:
    """Whether there is a program without a manifest: a .pte file, or a folder with one."""
    try:
        if path.is_file():
            return not is_packed(path) and path.suffix == ".pte"
        if not path.is_dir() or (path / MANIFEST).is_file():
            return False
        return next(path.rglob("*.pte"), None) is not None
    except (OSError, ValueError):  # a name that no file can have
        return False
