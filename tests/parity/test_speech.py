"""Speech models equal transformers': spectrogram, encoder, decoder, and the tokens they choose."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from speech_models import hf_moonshine, hf_whisper, noise, own_moonshine, own_whisper
from torch import Tensor

from llm_export.models.speech.mel import LogMel, MelConfig
from llm_export.models.speech.model import SpeechModel

LIMIT = 1e-4


def far(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference, relative to the largest value."""
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


def features_of(theirs: Any, samples: Tensor) -> Tensor:
    from transformers import WhisperFeatureExtractor

    seconds = theirs.config.max_source_positions // 50
    front = WhisperFeatureExtractor(theirs.config.num_mel_bins, chunk_length=seconds)
    made = front(samples[0].numpy(), sampling_rate=16000, return_tensors="pt")
    found: Tensor = made["input_features"]
    return found


def compare(ours: SpeechModel, theirs: Any, audio: Tensor, target: int, cut: int) -> None:
    """Encoder and decoder of both, stepwise and in two chunks."""
    ids = torch.randint(0, theirs.config.vocab_size, (1, target))
    with torch.no_grad():
        out = theirs(audio, decoder_input_ids=ids)
        assert far(ours.encode(audio), out.encoder_last_hidden_state) < LIMIT
        steps = [ours.decode(ids[:, i : i + 1], torch.tensor([i])) for i in range(target)]
        assert far(torch.stack(steps, 1), out.logits) < LIMIT
        ours.decode(ids[:, :cut], torch.tensor([0]))
        assert far(ours.decode(ids[:, cut:], torch.tensor([cut])), out.logits[:, -1]) < LIMIT


def greedy(ours: SpeechModel, audio: Tensor, start: int, count: int) -> list[int]:
    ids = [start]
    with torch.no_grad():
        ours.encode(audio)
        for at in range(count):
            logits = ours.decode(torch.tensor([ids[-1:]]), torch.tensor([at]))
            ids.append(int(logits.argmax()))
    return ids


@pytest.mark.parametrize("seconds", [0.3, 1.0, 1.7], ids=["padded", "whole", "cut"])
def test_the_spectrogram_equals_the_feature_extractors(seconds: float) -> None:
    theirs = hf_whisper()
    ours = own_whisper(theirs)
    samples = noise(int(seconds * 16000))
    padded = torch.zeros(1, ours.samples)
    padded[:, : samples.shape[1]] = samples[:, : ours.samples]
    made = ours.features(padded)
    assert far(made, features_of(theirs, samples)) < LIMIT
    assert made.is_contiguous()  # as the encoder's method takes it


def test_a_spectrogram_of_silence() -> None:
    mel = LogMel(MelConfig(80))
    mel.init_buffers()
    assert mel(torch.zeros(1, 1600)).unique().tolist() == [-1.5]


def test_whisper_equals_transformers() -> None:
    theirs = hf_whisper(decoder_layers=1)
    ours = own_whisper(theirs)
    compare(ours, theirs, features_of(theirs, noise(12000)), target=12, cut=5)


def test_moonshine_equals_transformers() -> None:
    theirs = hf_moonshine(encoder_num_hidden_layers=1)
    ours = own_moonshine(theirs)
    ours.encode(noise(20000, seed=3))  # nothing of it must be left
    compare(ours, theirs, noise(7777), target=12, cut=5)


@pytest.mark.parametrize("name", ["whisper", "moonshine"])
def test_the_fused_operators_attend_alike(name: str) -> None:
    import executorch.extension.llm.custom_ops.custom_ops  # noqa: F401

    theirs = hf_whisper() if name == "whisper" else hf_moonshine()
    ours = own_whisper(theirs) if name == "whisper" else own_moonshine(theirs)
    samples = noise(16000)
    audio = features_of(theirs, samples) if name == "whisper" else samples
    for kind in ("custom_op_by_head", "custom_op"):
        assert ours.set_attention(kind) == 2
        compare(ours, theirs, audio, target=20, cut=15)


@pytest.mark.slow
@settings(max_examples=12)
@given(
    seed=st.integers(0, 99), layers=st.sampled_from([(1, 1), (1, 3), (3, 2)]),
    heads=st.sampled_from([(1, 1), (2, 4), (4, 1)]), size=st.sampled_from([4, 12, 20]),
    ffn=st.sampled_from([(8, 24), (40, 4)]), mel=st.sampled_from([20, 80, 128]),
    act=st.sampled_from(["gelu", "relu", "gelu_new"]), tied=st.booleans(),
    target=st.integers(2, 20),
)  # fmt: skip
@example(0, (1, 1), (1, 1), 4, (8, 24), 20, "relu", False, 2)
def test_odd_members_of_whisper(
    seed: int, layers: tuple[int, int], heads: tuple[int, int], size: int, ffn: tuple[int, int],
    mel: int, act: str, tied: bool, target: int,
) -> None:  # fmt: skip
    theirs = hf_whisper(
        seed, encoder_layers=layers[0], decoder_layers=layers[1], num_mel_bins=mel,
        encoder_attention_heads=heads[0], decoder_attention_heads=heads[1], d_model=4 * size,
        encoder_ffn_dim=ffn[0], decoder_ffn_dim=ffn[1], activation_function=act,
        tie_word_embeddings=tied,
    )  # fmt: skip
    ours = own_whisper(theirs)
    samples = noise(ours.samples, seed)
    features = features_of(theirs, samples)
    assert far(ours.features(samples), features) < LIMIT
    compare(ours, theirs, features, target, cut=target // 2)


@pytest.mark.slow
@settings(max_examples=12)
@given(
    seed=st.integers(0, 99), layers=st.sampled_from([(1, 1), (1, 3), (3, 2)]),
    heads=st.sampled_from([1, 2, 4]), size=st.sampled_from([5, 12, 36]),
    share=st.sampled_from([0.5, 0.62, 0.9, 1.0]), theta=st.sampled_from([100.0, 10000.0]),
    acts=st.sampled_from([("gelu", "silu"), ("relu", "gelu")]), tied=st.booleans(),
    samples=st.integers(1600, 24000), target=st.integers(2, 20),
)  # fmt: skip
@example(0, (1, 1), 1, 12, 1.0, 100.0, ("gelu", "silu"), False, 1600, 2)
def test_odd_members_of_moonshine(
    seed: int, layers: tuple[int, int], heads: int, size: int, share: float, theta: float,
    acts: tuple[str, str], tied: bool, samples: int, target: int,
) -> None:  # fmt: skip
    if int(size * share) % 2:
        share = 0.8 if size == 5 else 1.0
    theirs = hf_moonshine(
        seed, encoder_num_hidden_layers=layers[0], decoder_num_hidden_layers=layers[1],
        encoder_num_attention_heads=heads, decoder_num_attention_heads=heads,
        hidden_size=heads * size, encoder_hidden_act=acts[0], decoder_hidden_act=acts[1],
        tie_word_embeddings=tied,
        rope_parameters={
            "rope_type": "default", "rope_theta": theta, "partial_rotary_factor": share,
        },
    )  # fmt: skip
    compare(own_moonshine(theirs), theirs, noise(samples, seed), target, cut=target // 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["whisper", "moonshine"])
def test_greedy_answers_equal_transformers(name: str) -> None:
    if name == "whisper":
        theirs = hf_whisper(eos_token_id=None, max_target_positions=40)
        ours: SpeechModel = own_whisper(theirs)
        audio, start = features_of(theirs, noise(16000)), 3
    else:
        theirs = hf_moonshine(eos_token_id=None)
        ours, audio, start = own_moonshine(theirs), noise(16000), 1
    ids = torch.full((1, 1), start)
    with torch.no_grad():
        for _ in range(32):
            logits = theirs(audio, decoder_input_ids=ids).logits[:, -1:]
            ids = torch.cat((ids, logits.argmax(-1)), 1)
    assert len(set(ids[0].tolist())) > 2
    assert greedy(ours, audio, start, 32) == ids[0].tolist()
