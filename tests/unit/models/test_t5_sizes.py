"""What a T5 of fixed lengths stores, and how its random weights begin."""

from __future__ import annotations

import torch
from seq2seq_models import hf_t5, own_t5

from llm_export.compat.constant_propagation import constant_nodes


def test_a_bias_of_each_pair_of_positions_is_no_constant() -> None:
    model = own_t5(hf_t5(0))
    encoder = next(m for m in model.methods(None, dynamic=False) if m.name == "encoder")
    program = torch.export.export(encoder.module, encoder.inputs, strict=False)
    stored = constant_nodes(program)
    assert stored
    pairs = model.context_length**2
    assert all(value.numel() < model.config.heads * pairs for value in stored.values())


def test_random_queries_have_the_factor_that_scores_lack() -> None:
    model = own_t5(hf_t5(0))
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    model.scale_random()
    changed = {n for n, w in model.named_parameters() if not torch.equal(w, before[n])}
    assert changed == {name for name in before if name.endswith(".q.weight")}
    name = "decoder.0.cross.q.weight"
    torch.testing.assert_close(model.get_parameter(name), before[name] * 8**-0.5)
