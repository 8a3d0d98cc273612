"""Positions that transformers' models number in ways of their own."""

from __future__ import annotations

import hf_families
import torch
from transformers import AutoModelForCausalLM

from llm_export.compat.transformers_positions import first_position, last_rows, mask_tables


def test_first_positions() -> None:
    with torch.device("meta"):
        made = {
            family: AutoModelForCausalLM.from_config(hf_families.CONFIGS[family]())
            for family in ("roberta", "gpt2", "llama")
        }
    assert {family: first_position(m) for family, m in made.items()} == {
        "roberta": 2, "gpt2": 0, "llama": 0
    }  # fmt: skip
    assert mask_tables(made["llama"]) == []


def test_tables_show_the_rows_of_a_step() -> None:
    model = AutoModelForCausalLM.from_config(hf_families.CONFIGS["gpt_neo"]())
    tables = mask_tables(model)
    assert len(tables) == 2
    before, positions, slots = tables[1].bias, torch.tensor([18, 19, 20]), 32
    with last_rows(tables, positions, slots):
        taken = tables[1].bias[:, :, slots - 3 : slots, :slots]
        assert torch.equal(taken, before[:, :, 18:21, :slots])
        assert taken[0, 0].sum(1).tolist() == [16, 16, 16]  # its window
        assert tables[1].bias[:, :, :1] is taken  # whatever the slice, for none is in the program
    assert tables[1].bias is before
