"""Models with a recurrent state: chunks of any length, a new text, states as inputs and outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hf_models
import pytest
import torch
from family_models import MEMBERS, settings
from parity_tools import BAR, recipe_for, relative_error, sample_ids

from llm_export import api
from llm_export.errors import VerificationError
from llm_export.json_data import to_json
from llm_export.models.components.mixers.state import State
from llm_export.models.definitions.composable import decoder_config
from llm_export.models.families import FAMILIES
from llm_export.models.load_model import load_model
from runtime_py import LLM
from runtime_py.cache_io import OutsideCaches


def with_mixers(family: str, variant: str) -> bool:
    config = hf_models.config_of(family, **settings(family, variant))
    return bool(FAMILIES.get(family).from_hf(config).mixers)


RECURRENT = [
    (family, next(variant for variant in MEMBERS[family] if with_mixers(family, variant)))
    for family in MEMBERS
    if any(with_mixers(family, variant) for variant in MEMBERS[family])
]
"""Family, and its first member that has a state."""
TOKENS = 40


@pytest.fixture(scope="module", params=RECURRENT, ids=lambda each: each[0])
def member(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Folder of a member, and the logits [S, V] of its ids by transformers."""
    family, variant = request.param
    reference = hf_models.build(family, **settings(family, variant))
    folder = hf_models.save(reference, tmp_path_factory.mktemp("m") / "m")
    with torch.no_grad():
        return folder, reference(torch.tensor([sample_ids(TOKENS)])).logits[0]


def loaded(folder: Path, attention: str) -> Any:
    recipe = recipe_for(folder, "runtime.context_length=64", "runtime.prefill_length=32")
    return load_model(recipe, attention=attention, context_length=64, all_logits=True).model


def fed(model: Any, ids: list[int], sizes: tuple[int, ...]) -> torch.Tensor:
    rows, start = [], 0
    with torch.no_grad():
        for size in sizes:
            tokens = torch.tensor([ids[start : start + size]])
            rows.append(model(tokens, torch.tensor([start]))[0])
            start += size
    return torch.cat(rows)


@pytest.mark.parametrize("sizes", [(40,), (1, 7, 31, 1), (1,) * 40], ids=["whole", "uneven", "one"])
def test_chunks_of_any_length_give_the_same(member: Any, sizes: tuple[int, ...]) -> None:
    folder, expected = member
    model = loaded(folder, "plain")
    assert relative_error(fed(model, sample_ids(TOKENS), sizes), expected) < BAR


def test_a_text_starts_from_nothing(member: Any) -> None:
    """Whatever the state held: a runtime only sets the position back."""
    folder, expected = member
    model = loaded(folder, "plain")
    fed(model, sample_ids(TOKENS)[::-1], (25, 1))
    assert relative_error(fed(model, sample_ids(TOKENS), (3, 36, 1)), expected) < BAR
    metadata = model.cache_metadata()
    assert metadata.recurrent
    assert to_json(metadata.rewind) == {"until": 0, "tokens": 0}


def test_states_are_inputs_and_outputs(member: Any) -> None:
    """As NPUs have them: nothing in the module, all of it in the caller's hands."""
    folder, expected = member
    model = loaded(folder, "static_io")
    ids = sample_ids(TOKENS)
    outside = OutsideCaches(to_json(model.cache_metadata().cache_io), 64)
    with torch.no_grad(), model.as_program(8) as form:
        assert not [n for n, _ in form.module.named_buffers() if n.endswith("_cache")]
        for text in (ids[::-1], ids):
            rows = []
            for start in range(0, TOKENS, 8):
                tokens = torch.tensor([text[start : start + 8]])
                inputs = outside.inputs(start, 8)
                assert [i.shape for i in form.inputs[2:]] == [i.shape for i in inputs]
                logits, *made = form.module(tokens, torch.tensor([start]), *inputs)
                outside.store(made, start, 8)
                rows.append(logits[0])
    assert relative_error(torch.cat(rows), expected) < BAR


def test_estimates_count_its_weights_and_states(member: Any) -> None:
    from llm_export.predict.shapes import shapes_of_decoder

    folder, _ = member
    model = loaded(folder, "plain")
    recipe = recipe_for(folder)
    shapes = shapes_of_decoder(decoder_config(recipe)[1], 64, False)
    assert shapes.parameters == sum(p.numel() for p in model.parameters())
    states = [b for n, b in model.named_buffers() if n.endswith(("conv_cache", "state_cache"))]
    assert sum(shapes.states) == sum(b.numel() for b in states)


@pytest.mark.slow
def test_a_lowered_state_is_proven_and_a_bad_one_is_refused(
    recurrent_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``verify`` feeds the program in other chunks; a state that outlives its text fails."""
    manifest = json.loads((recurrent_bundle / "manifest.json").read_text())
    assert manifest["program"]["recurrent"]
    chunking = manifest["proof"]["comparisons"]["chunking"]
    assert chunking["positions"] == 1 + 4 + 5 + 5
    assert chunking["mean_kl"] < 1e-6
    with LLM.load(recurrent_bundle) as llm:
        first = llm.generate("abc", max_new_tokens=5).tokens
        llm.generate("something else", max_new_tokens=5)
        assert llm.generate("abc", max_new_tokens=5).tokens == first
    monkeypatch.setattr(State, "before", lambda self, step: getattr(self, self.state_name))
    reference = hf_models.build("lfm2", **settings("lfm2", "convolutions"))
    folder = hf_models.save(reference, tmp_path / "m")
    keys = [f"checkpoint.path={folder}", "model=auto", "backend=portable", "quant=none",
            "runtime.context_length=128", "benchmark=off", "verify.positions=100"]  # fmt: skip
    with pytest.raises(VerificationError, match="program fed in other chunks"):
        api.run(None, keys, out=tmp_path / "bad", quiet=True, cache=False)
