"""Models that number positions, mask or choose positions in ways of their own, without recipes."""

from __future__ import annotations

import hf_families
import pytest
import torch
from parity_tools import BAR, relative_error

from llm_export.models.hf.model import HFModel
from llm_export.models.hf.prepare import prepare

CONTEXT = 48
IDS = torch.randint(3, 300, (1, 40), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", ["gpt_neo", "roberta", "deepseek_v32"])
def test_uneven_chunks_agree_with_transformers(family: str) -> None:
    reference = hf_families.build(family)
    with torch.no_grad():
        expected = reference(IDS, use_cache=False).logits
    prepare(reference)
    model = HFModel(reference, CONTEXT, "plain", all_logits=True)
    for lengths in ([40], [5, 20, 1, 1, 13]):
        rows: list[torch.Tensor] = []
        with torch.no_grad():
            for chunk in IDS.split(lengths, dim=1):
                start = torch.tensor([sum(row.shape[1] for row in rows)])
                rows.append(model(chunk, start))
        assert relative_error(torch.cat(rows, 1), expected) < BAR, lengths
