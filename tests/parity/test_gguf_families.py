"""GGUF files of every family, written as llama.cpp writes them, against transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from gguf_models import ARCHITECTURES, write_gguf
from gguf_parity import CASES, build, filled_in, first_case, ours, theirs
from parity_tools import BAR, relative_error
from transformers import AutoModelForCausalLM

from llm_export.config.schema import CheckpointConfig
from llm_export.models.convert import convert
from llm_export.models.families import FAMILIES

# Those whose tensors transformers can read from GGUF.
READ_BY_TRANSFORMERS = ("llama", "qwen2", "qwen3", "qwen3_moe", "phi3", "gemma2", "gemma3_text",
                        "starcoder2", "stablelm")  # fmt: skip


def test_every_family_has_its_architecture() -> None:
    readable = {name for name in FAMILIES if "gguf" in FAMILIES.get(name).keys}
    assert set(ARCHITECTURES) == readable
    assert {family for family, _ in CASES} == readable


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        pytest.param(*case, marks=pytest.mark.slow if case[0] in {f for f, _ in CASES[:at]} else ())
        for at, case in enumerate(CASES)
    ],
)
def test_a_file_gives_the_logits_of_its_model(
    family: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    reference = build(family, changes)
    recipe = filled_in(write_gguf(tmp_path / "m.gguf", reference), reference, family)
    assert recipe.model.family == family
    assert relative_error(ours(recipe), theirs(reference)) < BAR


@pytest.mark.parametrize("family", READ_BY_TRANSFORMERS)
def test_transformers_reads_the_same_from_a_quantized_file(family: str, tmp_path: Path) -> None:
    """Its reader and ours must undo the same layouts and blocks; sizes are told to its own."""
    reference = first_case(family)
    file = write_gguf(tmp_path / "m.gguf", reference, "Q8_0")
    read = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=file.name, config=reference.config, dtype=torch.float32,
        attn_implementation="eager",
    )  # fmt: skip
    assert relative_error(ours(filled_in(file, reference)), theirs(read)) < BAR
    assert relative_error(theirs(read), theirs(reference)) > 1e-4  # it is quantized


@pytest.mark.parametrize("family", ["qwen3_5_text", "mamba2"])
def test_a_converted_file_is_the_model_itself(family: str, tmp_path: Path) -> None:
    """Value heads, joint projections, decays and norms go back to where transformers has them."""
    reference = first_case(family)
    file = write_gguf(tmp_path / "m.gguf", reference)
    convert(CheckpointConfig(path=str(file)), tmp_path / "out")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    for name, value in reference.state_dict().items():
        assert relative_error(again.state_dict()[name], value) < BAR, name


@pytest.mark.parametrize("family", ["mixtral", "deepseek_v2", "deepseek_v3"])
def test_files_of_earlier_converters(family: str, tmp_path: Path) -> None:
    reference = first_case(family)
    recipe = filled_in(write_gguf(tmp_path / "m.gguf", reference, old=True), reference)
    assert relative_error(ours(recipe), theirs(reference)) < BAR


def test_mxfp4_experts(tmp_path: Path) -> None:
    kind = gguf.GGMLQuantizationType.MXFP4
    reference = first_case("gpt_oss")
    with torch.no_grad():
        for name, value in reference.named_parameters():
            if value.dim() == 3 and value.shape[1] % 32 == 0:
                rows = value.swapaxes(1, 2).contiguous().numpy()
                rounded = gguf.quants.dequantize(gguf.quants.quantize(rows, kind), kind)
                value.copy_(torch.from_numpy(rounded).swapaxes(1, 2))
                assert "experts" in name
    file = write_gguf(tmp_path / "m.gguf", reference, "MXFP4")
    assert kind in {t.tensor_type for t in gguf.GGUFReader(file).tensors}
    assert relative_error(ours(filled_in(file, reference)), theirs(reference)) < BAR
