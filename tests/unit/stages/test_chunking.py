"""A recurrent program is fed the same text in other chunks."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_export.stages.verification.chunking import compare_chunkings
from runtime_py import LLM


def test_a_text_longer_than_the_context_is_cut(
    recurrent_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LLM.load(recurrent_bundle) as llm:
        monkeypatch.setattr(llm.program, "context_length", 20)
        assert compare_chunkings(llm.program, list(range(60, 141))).mean_kl < 1e-6
