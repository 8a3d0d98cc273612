"""Stream a checkpoint into a torchtune model, and account for every tensor name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from llm_export.checkpoints.base import Checkpoint, describe_tensors
from llm_export.checkpoints.torchtune_file import TorchtuneCheckpoint
from llm_export.checkpoints.torchtune_names import converter
from llm_export.errors import CheckpointError
from llm_export.models.load_weights import Coverage
from llm_export.models.torchtune.model import TorchtuneModel
from llm_export.models.torchtune.names import from_torchtune, to_torchtune

_IGNORED = re.compile(r".*rotary_emb\.inv_freq")


def fill_torchtune(
    model: TorchtuneModel,
    checkpoint: Checkpoint,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Coverage:
    """Assign every tensor of ``checkpoint`` to its parameter, in float32, one at a time.

    Reads torchtune's own names, Hugging Face's (converted by torchtune's functions), and
    random weights.

    Raises:
        CheckpointError: a name is unused or missing, a shape differs, or values are not finite.
        MissingDependencyError: torchtune is not installed.
    """
    wanted = _wanted(model)
    ignored = _account(*_names(model, checkpoint, wanted), model)
    done, count = 0, 0
    for name, tensor in _placed(model, checkpoint, _stored(checkpoint), set(ignored)):
        _require_place(name, tensor, wanted)
        value = tensor.to(torch.float32).contiguous()
        if not torch.isfinite(value).all():
            raise CheckpointError(f"'{name}' holds values that are not finite (NaN or infinity)")
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, nn.Parameter(value, requires_grad=False))
        done, count = done + 1, count + value.numel()
        progress(done, len(wanted))
    model.tie()
    tied = ["head.weight"] if model.metadata.tied_embeddings else []
    return Coverage(used=done, ignored=ignored, tied=tied, parameters=count)


def require_fit(model: TorchtuneModel, checkpoint: Checkpoint) -> int:
    """Convert the checkpoint's names and shapes, without values, as ``fill_torchtune`` does.

    Returns:
        The number of parameters that get a tensor.

    Raises:
        CheckpointError: a name is unused or missing, or a shape differs.
    """
    wanted = _wanted(model)
    ignored = _account(*_names(model, checkpoint, wanted), model)
    done = 0
    for name, tensor in _placed(model, checkpoint, _headers(checkpoint), set(ignored)):
        _require_place(name, tensor, wanted)
        done += 1
    return done


def _wanted(model: TorchtuneModel) -> dict[str, Tensor]:
    """The parameters that a checkpoint fills."""
    return {
        name: p
        for name, p in model.named_parameters(remove_duplicate=False)
        if not (name == "head.weight" and model.metadata.tied_embeddings)
    }


def _require_place(name: str, tensor: Tensor, wanted: dict[str, Tensor]) -> None:
    if name not in wanted:
        raise CheckpointError(f"'{name}' has no place in the model")
    if tensor.shape != wanted[name].shape:
        raise CheckpointError(
            f"a tensor has shape {tuple(tensor.shape)}; the model needs "
            f"{tuple(wanted[name].shape)}",
            where=f"parameter {name}",
            fix="is this checkpoint of the architecture that the model option describes?",
        )


def _names(
    model: TorchtuneModel, checkpoint: Checkpoint, wanted: dict[str, Tensor]
) -> tuple[list[str], set[str]]:
    """The checkpoint's names and the names that the model needs, both in the checkpoint's
    format.
    """
    if checkpoint.naming == "model":
        return checkpoint.names(), set(wanted)
    if checkpoint.naming != "hf":
        raise CheckpointError(
            f"model.definition=torchtune reads torchtune and Hugging Face checkpoints, "
            f"and this one has {checkpoint.naming} names",
            where=str(checkpoint.files[0]),
            fix="model.definition=composable",
        )
    family = model.arch.family
    shadow = {
        to_torchtune(name, family): torch.empty(p.shape, device="meta")
        for name, p in wanted.items()
    }
    if isinstance(checkpoint, TorchtuneCheckpoint):
        return checkpoint.native_names(), set(shadow)
    facts = model.arch.conversion()
    return checkpoint.names(), set(converter(family, "model.family").to_hf(shadow, facts))


def _account(names: list[str], expected: set[str], model: TorchtuneModel) -> list[str]:
    """Names ignored by rule; raises on missing or unused names."""
    head = {"lm_head.weight", "output.weight", "head.weight"}
    ignored: list[str] = []
    unused: list[str] = []
    for name in names:
        if name in expected:
            continue
        tied = model.metadata.tied_embeddings and name in head
        (ignored if tied or _IGNORED.fullmatch(name) else unused).append(name)
    missing = sorted(expected - set(names))
    if missing or unused:
        raise CheckpointError(
            "; ".join(
                f"{len(group)} tensors {verb}: {', '.join(group[:4])}"
                + (", ..." if len(group) > 4 else "")
                for group, verb in (
                    (missing, "are missing"),
                    (unused, "have no place in the model"),
                )
                if group
            ),
            where=f"coverage of torchtune's {model.arch.family}",
            fix="check that model=... describes this checkpoint",
        )
    return ignored


def _stored(checkpoint: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    """The tensors under the names that the checkpoint stores them by."""
    if isinstance(checkpoint, TorchtuneCheckpoint):
        return checkpoint.native_tensors()
    return checkpoint.tensors()


def _headers(checkpoint: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    """As ``_stored``, on the meta device."""
    if isinstance(checkpoint, TorchtuneCheckpoint):
        yield from checkpoint.native_headers()
        return
    for name, info in describe_tensors(checkpoint).items():
        yield name, torch.empty(info.shape, device="meta")


def _placed(
    model: TorchtuneModel,
    checkpoint: Checkpoint,
    stored: Iterator[tuple[str, Tensor]],
    ignored: set[str],
) -> Iterator[tuple[str, Tensor]]:
    """Yield (parameter name, tensor) pairs."""
    if checkpoint.naming == "model":
        yield from stored
    elif isinstance(checkpoint, TorchtuneCheckpoint):
        for name, tensor in stored:
            if name not in ignored:
                yield from_torchtune(name, model.arch.family), tensor
    else:
        facts, family = model.arch.conversion(), model.arch.family
        convert = converter(family, "model.family").to_tune
        for name, tensor in stored:
            if name not in ignored:
                for other, part in convert({name: tensor}, facts).items():
                    yield from_torchtune(other, family), part
