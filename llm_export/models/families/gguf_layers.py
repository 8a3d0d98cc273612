"""The layers of a GGUF file's decoder, where its architecture has layers of several kinds."""

from __future__ import annotations

from llm_export.errors import CheckpointError
from llm_export.models.families.gguf_metadata import Metadata


def decoder_layers(m: Metadata) -> int:
    """``block_count`` without the blocks at its end that predict further tokens.

    Raises:
        CheckpointError: the counts do not fit each other, or the tensors.
    """
    blocks, further = m.count("block_count"), m.count("nextn_predict_layers", before=0)
    if not 0 <= further < blocks or m.any(rf"blk\.{blocks}\..*"):
        raise CheckpointError(
            f"{m.architecture}.block_count={blocks} and nextn_predict_layers={further} do not fit "
            "each other or the blocks of the file",
            where="the GGUF file's metadata",
            fix="fetch it again, or convert the model anew",
        )
    return blocks - further


def first(kinds: list[str], kind: str) -> int:
    """The first layer of a kind; 0 if there is none."""
    return kinds.index(kind) if kind in kinds else 0
