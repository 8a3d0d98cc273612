"""A bundle of each task, from a whole run of a tiny model with random weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import embed_bundles
import see_bundles

from llm_export import api

FAST = ("backend=portable", "verify.positions=20", "benchmark=off")
T5 = (
    "model=tiny_t5", "runtime.context_length=24", "model.config.num_layers=1",
    "model.config.num_decoder_layers=1", "model.config.feed_forward_proj=relu",
    'model.task_options.prefixes={x: "X "}',
)  # fmt: skip
WHISPER = (
    "model=tiny_whisper", "model.config.encoder_layers=1", "model.config.decoder_layers=1",
    "model.config.activation_function=relu",
)  # fmt: skip


def run(out: Path, *, words: tuple[str, ...]) -> None:
    api.run(api.compose(None, [*words, *FAST, f"out={out}"]), quiet=True)


OF_TASK: dict[str, tuple[Callable[[Path], object], str]] = {
    "embed": (embed_bundles.make, "bundle that embeds"),
    "see": (see_bundles.make, "bundle that sees"),
    "transcribe": (partial(run, words=WHISPER), "bundle that transcribes"),
    "translate": (partial(run, words=T5), "bundle that translates"),
}
"""Task -> how its bundle is made, and its key among what a session makes once."""
