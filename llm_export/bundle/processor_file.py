"""processor.json: how a bundle's images are prepared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_export.bundle.roles import ROLES
from llm_export.checkpoints.base import Checkpoint
from llm_export.errors import CheckpointError
from llm_export.files import read_json, write_json
from runtime_py.errors import BundleRuntimeError
from runtime_py.images.processor import ImageProcessor
from runtime_py.images.registry import normalised, processor_of

PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"


def write_processor(folder: Path, checkpoint: Checkpoint, stated: Mapping[str, Any]) -> None:
    """Write ``processor_json`` as a file of a bundle."""
    write_json(folder / ROLES["processor"], processor_json(checkpoint, stated))


def processor_json(checkpoint: Checkpoint, stated: Mapping[str, Any]) -> dict[str, Any]:
    """The checkpoint's processor configs as one, which the runtime can read.

    Args:
        stated: keys of the image processor that replace the checkpoint's.

    Raises:
        CheckpointError: neither has a processor, a file is not valid, or the runtime has no such
            image processor.
    """
    found = {name: _read(checkpoint, name) for name in (PREPROCESSOR, PROCESSOR)}
    if not any(found.values()) and not stated:
        raise CheckpointError(
            f"the checkpoint has neither {PREPROCESSOR} nor {PROCESSOR}, which say how images are "
            "prepared",
            where=str(checkpoint.files[0].parent) if checkpoint.files else "checkpoint",
            fix="copy one of them there, or state its keys: model.task_options.processor="
            "{image_processor_type: NAME, ...}",
        )
    try:
        made = normalised(found[PREPROCESSOR] or stated, found[PROCESSOR])
        made["image_processor"] = {**made["image_processor"], **stated}
        _require_layout(processor_of(made))
    except BundleRuntimeError as error:
        raise CheckpointError(error.what, where=error.where or "", fix=error.fix or "") from None
    return made


def _require_layout(processor: ImageProcessor) -> None:
    """
    Raises:
        CheckpointError: what stands for an image in a text is written by another class than the
            runtime has the text of.
    """
    known = processor.written_by
    if processor.writer and known and processor.writer not in known:
        raise CheckpointError(
            f"the runtime does not know what {processor.writer[:100]} writes into a text for an "
            f"image, of {processor.settings.kind}",
            where=f"{PROCESSOR}: processor_class",
            fix=f"known with it: {', '.join(known)}; if one of them writes the same: "
            "model.task_options.processor={processor_class: NAME}",
        )


def _read(checkpoint: Checkpoint, name: str) -> dict[str, Any] | None:
    folders = dict.fromkeys(file.parent for file in checkpoint.files)
    file = next((folder / name for folder in folders if (folder / name).is_file()), None)
    return None if file is None else read_json(file)
