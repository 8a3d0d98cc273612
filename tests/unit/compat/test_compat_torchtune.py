"""What is relied on of torchtune."""

from __future__ import annotations

import importlib
import inspect
import sys

import pytest

from llm_export.compat import torchtune_names
from llm_export.compat.torchtune_builders import BUILDERS
from llm_export.compat.torchtune_package import load_torchtune

load_torchtune()


def test_the_module_that_torchao_moved() -> None:
    assert hasattr(sys.modules["torchao.dtypes.nf4tensor"], "NF4Tensor")


@pytest.mark.parametrize("family", BUILDERS)
def test_a_builder(family: str) -> None:
    module, _, name = BUILDERS[family].partition(":")
    taken = set(inspect.signature(getattr(importlib.import_module(module), name)).parameters)
    assert {"vocab_size", "num_layers", "num_heads", "num_kv_heads", "embed_dim",
            "intermediate_dim", "max_seq_len"} <= taken  # fmt: skip


@pytest.mark.parametrize("family", ["qwen2", "gemma2", "phi3"])
def test_conversions_of_names(family: str) -> None:
    to_hf, from_hf = getattr(torchtune_names, family)()
    assert to_hf.__name__ == f"{family}_tune_to_hf"
    assert from_hf.__name__ == f"{family}_hf_to_tune"
    assert next(iter(inspect.signature(to_hf).parameters)) == "state_dict"


def test_modules_of_adapters() -> None:
    assert {"q_proj", "k_proj", "v_proj", "output_proj", "w1", "w2", "w3"} <= (
        torchtune_names.adapter_modules()
    )
