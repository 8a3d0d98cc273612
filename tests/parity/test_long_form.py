"""Windows, timestamps and text before them: equal to transformers' long-form generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from speech_models import hf_whisper, own_whisper
from torch import Tensor

from runtime_py.sampling import Sampling
from runtime_py.seq2seq.program import EncoderDecoder
from runtime_py.seq2seq.search import Search
from runtime_py.speech.long_form import Decoding, LongForm
from runtime_py.speech.settings import SpeechSettings
from runtime_py.speech.transcript import SpeechStats
from runtime_py.speech.windows import Listener

EOS, SOT, EN, DE, TRANSLATE, TRANSCRIBE, PREVIOUS, NOBODY, PLAIN = range(30, 39)
BEGIN, POSITIONS, HOP, TARGET = 39, 50, 160, 64
SETTINGS = SpeechSettings(
    16000, (SOT,), (EOS,), TARGET, chunk_seconds=POSITIONS * 0.02, languages={"en": EN, "de": DE},
    tasks={"translate": TRANSLATE, "transcribe": TRANSCRIBE}, no_timestamps_id=PLAIN,
    timestamp_begin=BEGIN, no_speech_id=NOBODY, previous_id=PREVIOUS,
    suppress_ids=(3, SOT, PREVIOUS), begin_suppress_ids=(5, EOS), max_initial_timestamp=20,
)  # fmt: skip


class Numbers:
    """A tokenizer whose text is the ids."""

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(f" {each}" for each in ids)


def models(seed: int) -> tuple[Any, Any]:
    theirs = hf_whisper(
        seed, vocab_size=BEGIN + POSITIONS + 1, max_source_positions=POSITIONS,
        max_target_positions=TARGET, pad_token_id=EOS, bos_token_id=EOS, eos_token_id=EOS,
        decoder_start_token_id=SOT,
    )  # fmt: skip
    config = theirs.generation_config
    facts = {
        "lang_to_id": {"<|en|>": EN, "<|de|>": DE}, "is_multilingual": True, "pad_token_id": EOS,
        "task_to_id": {"translate": TRANSLATE, "transcribe": TRANSCRIBE}, "eos_token_id": EOS,
        "no_timestamps_token_id": PLAIN, "prev_sot_token_id": PREVIOUS, "max_length": TARGET,
        "decoder_start_token_id": SOT, "suppress_tokens": list(SETTINGS.suppress_ids),
        "begin_suppress_tokens": list(SETTINGS.begin_suppress_ids),
        "max_initial_timestamp_index": 20,
    }  # fmt: skip
    for name, value in facts.items():
        setattr(config, name, value)
    return theirs, own_whisper(theirs)


def heard(ours: Any, features: Tensor) -> Listener:
    """A listener to a spectrogram: sample number n of its audio has the value n + 1."""

    def call(name: str, inputs: Sequence[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            if name == "features":
                part = inputs[0][0]
                start, count = (int(part[0]) - 1) // HOP, int((part > 0).sum()) // HOP
                cut = features[:, :, start : start + count]
                return [torch.nn.functional.pad(cut, (0, 2 * POSITIONS - count))]
            return [ours.encode(*inputs) if name == "encoder" else ours.decode(*inputs)]

    samples = torch.arange(1, 1 + features.shape[-1] * HOP, dtype=torch.float32)
    model = EncoderDecoder(call, TARGET, TARGET)
    return Listener(call, ("features",), model, SETTINGS, samples, SpeechStats())


def compare(seed: int, frames: int, condition: bool, most: int, beams: int) -> int:
    """Hold all segments to transformers'; returns how many there are."""
    theirs, ours = models(seed)
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(1, theirs.config.num_mel_bins, frames, generator=generator)
    torch.manual_seed(0)
    with torch.no_grad():
        wanted = theirs.generate(
            features, return_timestamps=True, return_segments=True, language="en",
            task="transcribe", condition_on_prev_tokens=condition, temperature=0.0,
            max_new_tokens=most, num_beams=beams,
            attention_mask=torch.ones(1, frames, dtype=torch.int64),
        )["segments"][0]  # fmt: skip
    decoding = Decoding(
        Search(Sampling(), beams=beams), (0.0,), None, None, None, condition, True, most
    )
    work = LongForm(heard(ours, features), Numbers(), decoding, [SOT, EN, TRANSCRIBE])  # type: ignore[arg-type]
    found = [segment for segment, _ in work.segments()]
    assert len(found) == len(wanted)
    for mine, other in zip(found, wanted, strict=True):
        # transformers leaves the first timestamp of the next segment at the end of the last one.
        assert list(mine.tokens) == other["tokens"][: len(mine.tokens)].tolist()
        assert len(other["tokens"]) - len(mine.tokens) in (0, 1)
        assert abs(mine.start - min(float(other["start"]), frames / 100)) < 1e-4
        assert abs(mine.end - min(float(other["end"]), frames / 100)) < 0.011
    return len(found)


def test_segments_equal_transformers() -> None:
    assert compare(1, 250, True, 12, beams=2) > 1


@pytest.mark.slow
@settings(max_examples=8)
@given(
    seed=st.integers(0, 500), frames=st.integers(20, 350), condition=st.booleans(),
    most=st.integers(3, 24), beams=st.sampled_from([1, 1, 3]),
)  # fmt: skip
def test_any_audio(seed: int, frames: int, condition: bool, most: int, beams: int) -> None:
    compare(seed, frames, condition, most, beams)
