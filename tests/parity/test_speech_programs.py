"""Programs of speech models: each method computes what the model does, and the decoder's method
hears what the encoder's wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from speech_models import (
    hf_moonshine,
    hf_streaming,
    hf_whisper,
    library_speech,
    noise,
    own_moonshine,
    own_whisper,
)
from torch import Tensor

from llm_export.compat.shared_state import passes_for_shared_state
from llm_export.models.speech.model import SpeechModel
from llm_export.models.speech.options import TranscribeOptions
from llm_export.stages.lowering.to_edge import executorch_config
from runtime_py.method_program import MethodProgram

OPTIONS = TranscribeOptions(max_seconds=2.0)


def nothing(*_: Any) -> None:
    return None


def lowered(
    model: SpeechModel,
    path: Path,
    options: TranscribeOptions = OPTIONS,
    delegated: bool = True,
) -> MethodProgram:
    """The program of all methods, for XNNPACK or for portable kernels."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    with torch.no_grad():
        programs = {
            method.name: torch.export.export(
                method.module.eval(), method.inputs, strict=False,
                dynamic_shapes=tuple(method.dynamic) if any(method.dynamic) else None,
            )
            for method in model.methods(options, dynamic=True)
        }  # fmt: skip
    shared = passes_for_shared_state(programs)
    edge = to_edge_transform_and_lower(
        programs, transform_passes={k: v for k, v in shared.items() if v},
        partitioner={name: [XnnpackPartitioner()] if delegated else [] for name in programs},
        compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True),
    )  # fmt: skip
    with path.open("wb") as file:
        edge.to_executorch(
            executorch_config(len(programs), None, cast(Any, nothing))
        ).write_to_file(file)
    return MethodProgram(path)


def far(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


def compare(program: MethodProgram, model: SpeechModel, audio: Tensor) -> None:
    ids = torch.randint(0, 320, (1, 9))
    with torch.no_grad():
        assert far(program.call("encoder", [audio])[0], model.encode(audio)) < 1e-4
        for begin, end in ((0, 4), (4, 5), (5, 6), (6, 9)):
            inputs = ids[:, begin:end], torch.tensor([begin])
            assert far(program.call("decoder", inputs)[0], model.decode(*inputs)) < 1e-4


@pytest.mark.release
def test_whisper_with_fused_attention(tmp_path: Path) -> None:
    model = own_whisper(hf_whisper(encoder_layers=1, decoder_layers=1))
    import executorch.extension.llm.custom_ops.custom_ops  # noqa: F401

    model.set_attention("custom_op_by_head")
    program = lowered(model, tmp_path / "model.pte")
    for seed in (1, 2):
        samples = noise(model.samples, seed)
        features = program.call("features", [samples])[0]
        assert far(features, model.features(samples)) < 1e-4
        compare(program, model, features.clone())


@pytest.mark.slow
def test_moonshine_with_plain_attention_and_audio_of_several_lengths(tmp_path: Path) -> None:
    layers = {"encoder_num_hidden_layers": 1, "decoder_num_hidden_layers": 1}
    model = own_moonshine(hf_moonshine(**layers))
    program = lowered(model, tmp_path / "model.pte")
    for seed, samples in enumerate((31744, 1792, 16000)):
        compare(program, model, noise(samples, seed))


@pytest.mark.release  # eagerly at each change; its methods are captured as those of our own are
def test_whisper_as_transformers_builds_it(tmp_path: Path) -> None:
    model = library_speech(hf_whisper(encoder_layers=1, decoder_layers=1), {"chunk_length": 1})
    program = lowered(model, tmp_path / "model.pte", delegated=False)
    samples = noise(16000)
    features = program.call("features", [samples])[0].clone()
    assert model.features is not None
    assert far(features, model.features(samples)) < 1e-4
    compare(program, model, features)


@pytest.mark.release
def test_a_model_of_transformers_and_audio_up_to_its_longest(tmp_path: Path) -> None:
    """The longest decides: torch's choice of a convolution bounds the length of audio."""
    layer = {"num_hidden_layers": 1, "sliding_windows": [[4, 2]]}
    theirs = hf_streaming(max_position_embeddings=800)
    config = theirs.config
    theirs = type(theirs)(
        type(config)(**{**config.to_dict(), "encoder_config": {
            **config.encoder_config.to_dict(), **layer
        }})
    ).eval()  # fmt: skip
    model = library_speech(theirs, {"return_attention_mask": True, "do_normalize": False})
    program = lowered(model, tmp_path / "model.pte", TranscribeOptions(max_seconds=15.0))
    for seed, samples in enumerate((240000, 960, 16000)):
        compare(program, model, noise(samples, seed))
