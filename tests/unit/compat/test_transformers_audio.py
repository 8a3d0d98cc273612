"""What is relied on of transformers about audio."""

from __future__ import annotations

import torch
from speech_models import hf_moonshine

from llm_export.compat.transformers_audio import extractor_of, outputs_for


def test_the_library_names_the_extractor_of_a_type() -> None:
    assert extractor_of("whisper") == "WhisperFeatureExtractor"
    assert extractor_of("moonshine_streaming") is None


def test_models_say_how_many_outputs_they_have() -> None:
    layer = {"encoder_num_hidden_layers": 1, "decoder_num_hidden_layers": 1}
    model = hf_moonshine(**layer)
    with torch.no_grad():
        made = model.get_encoder()(torch.zeros(1, 5000))[0]
    assert outputs_for(model, 5000) == made.shape[1]
    assert outputs_for(torch.nn.Identity(), 5000) is None
