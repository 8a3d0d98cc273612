"""A program that embeds token ids and images, and steps through embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from runtime_py.bundle import Bundle
from runtime_py.bundle_task import task_settings
from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.program import Program
from runtime_py.program_error import program_problem
from runtime_py.token_ids import FIRST_ROW, checked_ids
from runtime_py.turns import next_step
from runtime_py.vision.mrope import TEXT, stream_positions
from runtime_py.vision.rows import Encoded, Rows

STEP = 256
"""Tokens per step of a long prompt; see ``runtime_py.program``."""
EMBEDDING, DECODER, ENCODER = "token_embedding", "text_decoder", "vision_encoder"


class SeeingProgram(Program):
    """As ``Program``; ids from ``FIRST_ROW`` on are rows of images that were added to ``images``.

    Attributes:
        images: what was seen; encoded once.
        grid: (rows, columns) of the tokens of an image, in a program that takes M-RoPE positions.
    """

    def __init__(self, path: Path, *, inputs: Sequence[str] = (), grid: Any = None,
                 **settings: Any) -> None:  # fmt: skip
        self.embedded = len(inputs)
        self.inputs, self.grid = tuple(inputs), grid
        self._text: list[int] = []
        self._following: list[int] = []
        self.images = Rows(self.encode)
        for name in self.inputs:
            if name not in _FURTHER:
                raise BundleRuntimeError(
                    f"the program takes '{str(name)[:80]}', which this runtime does not know",
                    where=str(path), fix="pip install -U llm_export",
                )  # fmt: skip
        super().__init__(path, **settings)
        self._embedding_length = self._checked_methods()

    def _checked_methods(self) -> int:
        """Most ids of a call of ``token_embedding``."""
        for name in (EMBEDDING, ENCODER):
            if name not in self._program.method_names:
                raise BundleRuntimeError(
                    f"the program has no method '{name}'", where=str(self.path),
                    fix="export with model.task=see",
                )  # fmt: skip
        sizes = self._program.metadata(EMBEDDING).input_tensor_meta(0).sizes()
        if len(sizes) != 2 or sizes[0] != 1:
            raise BundleRuntimeError(
                f"{EMBEDDING} takes {tuple(sizes)}, not (1, tokens)", where=str(self.path),
                fix="export the bundle again",
            )  # fmt: skip
        return int(sizes[1])

    def input_sizes(self, name: str) -> tuple[int, ...]:
        """Of a further input of ``text_decoder``."""
        meta = self._program.metadata(DECODER)
        index = meta.num_inputs() - len(self.inputs) + self.inputs.index(name)
        return tuple(meta.input_tensor_meta(index).sizes())

    def _ids(self, tokens: Sequence[int]) -> list[int]:
        ids = checked_ids(tokens, None)
        for each in ids:
            if not (
                0 <= each < (self.vocab_size or FIRST_ROW) or FIRST_ROW <= each < 2 * FIRST_ROW
            ):
                raise ArgumentError(
                    f"token id {each} is not in the vocabulary of {self.vocab_size}"
                )
        return ids

    def check_ids(self, tokens: Sequence[int]) -> None:
        super().check_ids([each for each in tokens if not FIRST_ROW <= each < 2 * FIRST_ROW])

    def step(self, tokens: Sequence[int], *, every: bool = False) -> Tensor:
        before = len(self._text)
        logits = super().step(tokens, every=every)
        if len(self._text) < before + len(tokens):  # not one by one already
            self._text += tokens
        return logits

    def prefill(self, tokens: Sequence[int]) -> Tensor:
        if "attend_until" not in self.inputs:
            return super().prefill(tokens)
        logits: Tensor | None = None
        for part in self._whole_images(self._ids(tokens)):
            next_step(self.stopped, first=logits is None)
            logits = self.step(part)
        if logits is None:
            raise BundleRuntimeError("the prompt is empty", fix="give at least one token")
        return logits[0, -1]

    def _whole_images(self, ids: list[int]) -> list[list[int]]:
        """Parts of a text, each a step, none of which ends within an image.

        Raises:
            BundleRuntimeError: an image does not fit into a step.
        """
        parts: list[list[int]] = [[]]
        for run in self._runs(ids):
            if len(run) > self.prefill_length:
                raise BundleRuntimeError(
                    f"an image takes {len(run)} tokens, a step {self.prefill_length}: they must "
                    "be fed at once, because they attend to each other", where=str(self.path),
                    fix=f"export with runtime.prefill_length={len(run)} or more",
                )  # fmt: skip
            if len(parts[-1]) + len(run) > min(self.prefill_length, max(STEP, len(run))):
                parts.append([])
            parts[-1] += run
        return parts if parts[0] else parts[1:]

    def _runs(self, ids: list[int]) -> Iterator[list[int]]:
        """The tokens of text one by one, and those of each tile together."""
        at = 0
        while at < len(ids):
            place = self.images.place(ids[at])
            count = 1 if place is None else place.total - place.row
            yield ids[at : at + count]
            at += count

    def reset(self, position: int = 0) -> int:
        found = super().reset(position)
        del self._text[found:], self._following[found:]
        return found

    def follow(self, ids: Sequence[int]) -> None:
        """See ``engines.engine.Follows``."""
        self._text, self._following = list(ids), []

    def close(self) -> None:
        self.images.clear()
        super().close()

    def _fed(self, tokens: list[int], length: int) -> tuple[Tensor, Sequence[Tensor]]:
        seen = [(i, *self.images.of(t)) for i, t in enumerate(tokens) if t >= FIRST_ROW]
        ids = [0 if token >= FIRST_ROW else token for token in tokens]
        embedded = self._embedded(ids, length)
        for index, rows, row in seen:
            embedded[0, index] = rows[0].view(-1, rows[0].shape[-1])[row]
        return embedded, [_FURTHER[name](self, tokens, length, seen) for name in self.inputs]

    def _embedded(self, ids: list[int], length: int) -> Tensor:
        """[1, length, H]; what is behind ``ids`` is padding."""
        most, parts = self._embedding_length, []
        for start in range(0, len(ids), most):
            part = ids[start : start + most]
            padded = part if self.dynamic else [*part, *[0] * (most - len(part))]
            found = self._called(EMBEDDING, torch.tensor([padded], dtype=self._dtype))[0]
            parts.append(found[:, : len(part)].clone())
        made = torch.cat(parts, 1)
        if length == len(ids):
            return made
        return torch.nn.functional.pad(made, (0, 0, 0, length - len(ids)))

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of the pixels that ``encode`` takes."""
        return tuple(self._program.metadata(ENCODER).input_tensor_meta(0).sizes())

    def encode(self, pixels: Tensor) -> Encoded:
        """The rows of an image, and what else the encoder returns; the next call of the program
        may overwrite them."""
        first, *others = self._called(ENCODER, pixels)
        return (first.view(-1, first.shape[-1]), *others)

    def _called(self, name: str, value: Tensor) -> Sequence[Tensor]:
        method = self._methods.get(name) or self._loaded(name)
        try:
            found: Sequence[Tensor] = method.execute((value,))
        except Exception as error:
            raise program_problem(self.path, f"failed in '{name}'", error, "") from None
        return found

    def _positions_of(self, tokens: list[int]) -> tuple[Tensor, list[int]]:
        """(M-RoPE positions [3, S] of the next tokens, the position of text after each)"""
        made = stream_positions(
            [self._offset(each) for each in tokens], self.grid,
            self._following[-1] if self._following else 0,
        )  # fmt: skip
        return torch.from_numpy(made.positions), made.following.tolist()

    def _offset(self, token: int) -> int:
        if token < FIRST_ROW:
            return TEXT
        place = self.images.place(token)
        if place is None:
            raise BundleRuntimeError(
                "the text has an image that is not in memory",
                fix="ask again with the messages that have the image",
            )
        return place.row


def _rope_positions(
    program: SeeingProgram, tokens: list[int], length: int, seen: Sequence[Any]
) -> Tensor:
    """[3, S] int64, of the tokens behind the text so far."""
    del program._following[program.position :]
    behind = program._text[len(program._following) : program.position]
    if behind:
        program._following += program._positions_of(behind)[1]
    found, following = program._positions_of(tokens)
    program._following += following
    return torch.nn.functional.pad(found, (0, length - len(tokens)))


def _deepstack(
    program: SeeingProgram, tokens: list[int], length: int, seen: Sequence[Any]
) -> Tensor:
    """[k, 1, S, H], additions to the first layers at the positions of images; zero elsewhere."""
    layers, _, _, width = program.input_sizes("deepstack")
    made = torch.zeros(layers, 1, length, width)
    for at, rows, row in seen:
        # One tensor [k, 1, n, H], or one [1, n, H] for each layer.
        parts = rows[1:] if len(rows) > 2 else rows[1].reshape(layers, -1, width)
        for layer, part in enumerate(parts):
            made[layer, 0, at] = part.reshape(-1, width)[row]
    return made


def _attend_until(
    program: SeeingProgram, tokens: list[int], length: int, seen: Sequence[Any]
) -> Tensor:
    """[S] int64, the last position that each token attends to: of a row of a tile the tile's last
    one, of any other token its own."""
    until = [program.position + index for index in range(length)]
    for index, token in enumerate(tokens):
        place = program.images.place(token)
        if place is not None:
            end = index + place.total - 1 - place.row
            if end >= len(tokens):
                raise BundleRuntimeError(
                    f"a step ends within an image of {place.total} tokens, which attend to each "
                    "other", where=str(program.path), fix="feed the whole image at once",
                )  # fmt: skip
            until[index] = program.position + end
    return torch.tensor(until)


_FURTHER = {
    "rope_positions": _rope_positions, "deepstack": _deepstack, "attend_until": _attend_until,
}  # fmt: skip
"""Inputs of ``text_decoder`` behind embeddings and position, in the order of the settings'
``decoder_inputs``."""


def open_seeing(bundle: Bundle, data_path: Path | None) -> SeeingProgram:
    """The program of a bundle whose task is ``see``.

    Raises:
        BundleRuntimeError: it is not the one that the manifest describes.
    """
    facts: Mapping[str, Any] = bundle.manifest["program"]
    settings: Mapping[str, Any] = task_settings(bundle)
    file = bundle.file("program")
    assert file is not None
    program = SeeingProgram.of_manifest(
        file, facts, data_path,
        inputs=settings.get("decoder_inputs") or (), grid=settings.get("grid"),
    )  # fmt: skip
    assert isinstance(program, SeeingProgram)
    return program
