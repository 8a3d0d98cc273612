"""The training loop: what it learns, and that an interrupted run ends as an uninterrupted one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from llm_export.errors import TrainingError
from llm_export.stages.training.checkpoint import CheckpointFile
from llm_export.stages.training.loop import fit
from llm_export.stages.training.losses import cross_entropy, distillation
from llm_export.stages.training.settings import LoopSettings

VOCAB = 11


class Bigram(nn.Module):
    """A language model with dropout, a tied matrix and a running range, as observers have."""

    largest: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(VOCAB, 8)
        self.mix = nn.Linear(8, 8)
        self.drop = nn.Dropout(0.1)
        self.frozen = nn.Linear(8, 8)
        self.register_buffer("largest", torch.zeros(()))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.drop(self.frozen(self.mix(self.embed(tokens))))
        if self.training:
            self.largest = 0.9 * self.largest + 0.1 * x.detach().abs().amax()
        return x @ self.embed.weight.T


TRAINED = ["embed.weight", "mix.weight", "mix.bias"]
SETTINGS = LoopSettings(
    steps=12, learning_rate=0.02, batch=2, accumulate=2, warmup=3, weight_decay=0.1, seed=5,
    checkpoint_every=4,
)  # fmt: skip


def windows() -> torch.Tensor:
    """Every token is followed by its double."""
    start = torch.arange(VOCAB)
    return torch.stack([start * 2**i % VOCAB for i in range(7)], 1)


def trained(
    settings: LoopSettings, checkpoint: CheckpointFile | None = None, stop: int = 10**9
) -> tuple[Bigram, list[float]]:
    model = Bigram().train()

    class Killed(Exception):
        pass

    def progress(done: int, total: int) -> None:
        if done == stop:
            raise Killed

    try:
        curve = fit(
            model, TRAINED, windows(), cross_entropy(model), settings,
            checkpoint=checkpoint, progress=progress,
        )  # fmt: skip
    except Killed:
        return model, []
    return model, curve


def test_it_learns_and_leaves_the_rest_alone() -> None:
    before = Bigram()
    model, curve = trained(LoopSettings(steps=60, learning_rate=0.03, batch=4))
    assert len(curve) == 60
    assert curve[-1] < 0.6 * curve[0]
    assert torch.equal(model.frozen.weight, before.frozen.weight)
    assert not torch.equal(model.mix.weight, before.mix.weight)
    assert all(not p.requires_grad and p.grad is None for p in model.parameters())


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole, curve = trained(SETTINGS)
    file = CheckpointFile(tmp_path / "training", "abc")
    for stop in (7, 9):
        trained(SETTINGS, file, stop=stop)
        assert file.path.is_file()
        assert not list(file.folder.glob("*.partial"))
    state = file.read()
    assert state is not None
    assert [state.step, len(state.curve)] == [8, 8]
    resumed, again = trained(SETTINGS, file)
    assert again == curve
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_resumed_run_did_not_begin_anew(tmp_path: Path) -> None:
    """The checkpoint counts: with its curve exchanged, the result is exchanged."""
    file = CheckpointFile(tmp_path, "abc")
    trained(SETTINGS, file, stop=5)
    state = file.read()
    assert state is not None
    file.write(type(state)(state.step, [42.0] * 4, state.tensors))
    _, curve = trained(SETTINGS, file)
    assert curve[:4] == [42.0] * 4


def test_windows_come_in_another_order_with_another_seed() -> None:
    curves = [trained(LoopSettings(steps=3, learning_rate=0.01, seed=seed))[1] for seed in (0, 1)]
    assert curves[0] != curves[1]


def test_the_rate_rises_and_falls() -> None:
    rates = [SETTINGS.rate(step) for step in range(SETTINGS.steps + 1)]
    assert rates[:3] == pytest.approx([0.02 / 3, 0.04 / 3, 0.02])
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] == pytest.approx(0.002)


def test_distillation_is_nothing_where_the_student_is_the_teacher() -> None:
    model = Bigram().eval()
    other = Bigram().eval()
    with torch.no_grad():
        other.mix.weight.mul_(3)
    assert float(distillation(model, model)(windows())) == pytest.approx(0, abs=1e-6)
    assert float(distillation(model, other)(windows())) > 0.01


def test_a_loss_that_is_no_number_ends_it() -> None:
    model = Bigram()
    with pytest.raises(TrainingError, match=r"the loss of step 1 is nan") as caught:
        fit(model, TRAINED, windows(), lambda w: model(w).sum() * float("nan"), SETTINGS)
    assert "a smaller train.learning_rate" in str(caught.value)


def test_a_damaged_checkpoint_is_named_and_training_begins_anew(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path, "abc")
    file.path.write_bytes(b"no safetensors")
    assert trained(SETTINGS, file)[1] == trained(SETTINGS)[1]
    assert "cannot be read" in file.problems[0]
    assert len(file.problems) == 1


def test_a_checkpoint_that_cannot_be_written_ends_no_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    file = CheckpointFile(tmp_path / "file", "abc")
    often = replace(SETTINGS, checkpoint_every=1)
    assert trained(often, file)[1] == trained(SETTINGS)[1]
    assert "no checkpoint of the training is kept" in file.problems[0]
