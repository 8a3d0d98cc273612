"""How the encoder and the decoder of a speech model of transformers work together: seen on a model
without values."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.compat.fake_loading import needs_values
from llm_export.compat.transformers_audio import outputs_for
from llm_export.errors import CheckpointError
from llm_export.models.seq2seq.library_cache import cannot_follow
from llm_export.models.speech.front_ends import FrontEnd
from llm_export.models.speech.lengths import Lengths
from llm_export.models.speech.model import RATE

_FEWEST_OUTPUTS = 3
"""torch.export takes a dimension of 0 or 1 for a constant."""
_LONGEST_STEP = 1 << 16


def lengths_of(hf: Any, front: FrontEnd) -> Lengths:
    """The lengths that an encoder takes.

    Raises:
        CheckpointError: it does not run on audio, or has not one output for every so many samples.
    """
    if front.chunk is not None:
        outputs, width = _encoded(hf, front, front.chunk)
        return Lengths(front.chunk, outputs - 1, width, single=True)
    step = _step(hf)
    shift = _outputs(hf, 64 * step) - 64
    fewest = max(1, _FEWEST_OUTPUTS - shift)
    for n in (fewest, fewest + 1, 64):
        outputs, width = _encoded(hf, front, n * step)
        if outputs != n + shift:
            raise cannot_follow(
                hf.config.model_type, "encoder",
                f"{outputs} outputs for {n * step} samples, where {n + shift} were expected",
            )  # fmt: skip
    return Lengths(step, shift, width, fewest)


def _step(hf: Any) -> int:
    """Samples for one more output."""
    count = _outputs(hf, RATE)
    return _least(hf, count + 2) - _least(hf, count + 1)


def _least(hf: Any, outputs: int) -> int:
    """The fewest samples for so many outputs."""
    low, high = RATE // 2, RATE + 2 * _LONGEST_STEP
    while low < high:
        middle = (low + high) // 2
        if _outputs(hf, middle) < outputs:
            low = middle + 1
        else:
            high = middle
    return low


def _outputs(hf: Any, samples: int) -> int:
    found = outputs_for(hf, samples)
    if found is None:
        raise cannot_follow(
            hf.config.model_type, "encoder", "it does not say how many outputs it has"
        )
    return found


def _input(front: FrontEnd, samples: int) -> Tensor:
    audio = torch.zeros(1, samples)
    return audio if front.features is None else front.features(audio)


def _encoded(hf: Any, front: FrontEnd, samples: int) -> tuple[int, int]:
    """(outputs of the encoder, their channels)."""
    try:
        with torch.no_grad():
            hidden = hf.get_encoder()(_input(front, samples))[0]
        _, outputs, width = hidden.shape
    except Exception as error:  # each model fails in its own way
        raise cannot_follow(hf.config.model_type, "encoder", error) from error
    return int(outputs), int(width)


def require_plain(hf: Any, front: FrontEnd, lengths: Lengths) -> None:
    """The model is an encoder, a decoder that attends to its output as it is, and a head on the
    decoder's output as it is, which is how the methods call them.

    Raises:
        CheckpointError: there is something between them.
    """
    seen: dict[str, Any] = {}
    samples = lengths.step * lengths.fewest
    with _watched(hf, seen), torch.no_grad():
        try:
            made = hf(
                **{hf.main_input_name: _input(front, samples)},
                decoder_input_ids=torch.zeros(1, 2, dtype=torch.int64),
            )
        except Exception as error:  # each model fails in its own way
            if needs_values(error):
                return
            raise cannot_follow(hf.config.model_type, "decoder", error) from error
    if seen.get("attended") is not seen.get("encoded"):
        raise cannot_follow(hf.config.model_type, "encoder", "its output is changed before use")
    if seen.get("head_input") is not seen.get("decoded") or made.logits is not seen.get("logits"):
        raise cannot_follow(hf.config.model_type, "decoder", "its output is changed before use")


@contextlib.contextmanager
def _watched(hf: Any, seen: dict[str, Any]) -> Iterator[None]:
    def encoded(module: Any, args: Any, made: Any) -> None:
        seen["encoded"] = made[0]

    def decoded(module: Any, args: Any, given: dict[str, Any], made: Any) -> None:
        seen["attended"], seen["decoded"] = given.get("encoder_hidden_states"), made[0]

    def headed(module: Any, args: Any, made: Any) -> None:
        seen["head_input"], seen["logits"] = args[0], made

    hooks = [
        hf.get_encoder().register_forward_hook(encoded),
        hf.get_decoder().register_forward_hook(decoded, with_kwargs=True),
        hf.get_output_embeddings().register_forward_hook(headed),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def require_room(hf: Any, front: FrontEnd, lengths: Lengths, seconds: float) -> None:
    """Positions of the longest audio have places in the model's tables.

    Raises:
        CheckpointError: a table has fewer.
    """
    outputs = lengths.outputs(seconds)
    short: list[int] = []

    def looked_up(module: Any, args: Any) -> None:
        rows = int(module.weight.shape[0])
        if args[0].numel() > rows:
            short.append(rows)

    hooks = [
        each.register_forward_pre_hook(looked_up)
        for each in hf.modules()
        if isinstance(each, nn.Embedding)
    ]
    try:
        with torch.no_grad():
            hidden = hf.get_encoder()(_input(front, lengths.most(seconds) * lengths.step))[0]
            hf.get_decoder()(
                input_ids=torch.zeros(1, 1, dtype=torch.int64), encoder_hidden_states=hidden
            )
    except Exception as error:  # each model fails in its own way
        if not needs_values(error):
            raise cannot_follow(hf.config.model_type, "encoder", error) from error
    finally:
        for hook in hooks:
            hook.remove()
    if short:
        raise CheckpointError(
            f"{seconds:g} s of audio have {outputs} positions, and the model has {min(short)}",
            where="model.task_options.max_seconds",
            fix=f"at most {min(short) * lengths.step / RATE:g}",
        )
