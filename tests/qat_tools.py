"""Short trainings by torchao's and torchtune's own code, and the stages that export them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from llm_export import api
from llm_export.config.schema import Recipe
from llm_export.pipeline.artifacts import Prepared, Source, Start, Transformed
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import resolve
from llm_export.stages.load import load
from llm_export.stages.quantize import quantize
from llm_export.stages.train import train
from llm_export.stages.transform import transform
from llm_export.stages.verification.logits import eager_logits

GROUP = 32
IDS = torch.randint(0, 300, (1, 32), generator=torch.Generator().manual_seed(9))


def rules(group: int | None) -> str:
    size = "null" if group is None else group
    return (
        f"quant.rules=[{{kind: linear, scheme: 8da4w, group_size: {size}}},"
        f"{{kind: head, scheme: 8da4w, group_size: {size}}}]"
    )


def recipe_of(*overrides: str, folder: Path | None = None, group: int | None = GROUP) -> Recipe:
    """A tiny model, or the checkpoint in ``folder``, for XNNPACK with 4-bit matrices."""
    source = ["model=tiny"] if folder is None else ["model=auto", f"checkpoint.path={folder}"]
    sizes = [
        "runtime.context_length=64",
        "runtime.prefill_length=32",
        "benchmark=off",
        "verify=off",
        "backend=xnnpack",
        "quant=8da4w",
        "quant.group_size=null",
    ]
    return api.compose_recipe(None, [*source, *sizes, rules(group), *overrides]).recipe


def context() -> RunContext:
    folder = Path(tempfile.mkdtemp())
    return RunContext(folder, Reporter(1, quiet=True), StageRecord("test"))


def prepared_of(recipe: Recipe) -> Prepared:
    return transform(load(Start(), resolve(recipe), context()), resolve(recipe), context())


def trained_of(recipe: Recipe, prepared: Prepared | None = None) -> tuple[Prepared, dict[str, Any]]:
    """The trained model, and what the stage notes."""
    ctx = context()
    return train(prepared or prepared_of(recipe), resolve(recipe), ctx), ctx.record.facts


def quantized_of(recipe: Recipe, prepared: Prepared) -> tuple[Transformed, dict[str, Any]]:
    ctx = context()
    return quantize(prepared, resolve(recipe), ctx), ctx.record.facts


def logits(transformed: Transformed, ids: torch.Tensor = IDS) -> torch.Tensor:
    """[S, V] of the model as it will be exported."""
    return eager_logits(transformed.model, ids[0].tolist(), 32)


def exported_logits(recipe: Recipe) -> tuple[torch.Tensor, dict[str, Any]]:
    transformed, facts = quantized_of(recipe, prepared_of(recipe))
    return logits(transformed), facts


def mean_kl(reference: torch.Tensor, other: torch.Tensor) -> float:
    """KL(reference || other) in nats."""
    r, o = (torch.log_softmax(x.double(), -1) for x in (reference, other))
    return float((r.exp() * (r - o)).sum(-1).mean())


def train_a_little(model: nn.Module, forward: Any, steps: int = 8, vocab: int = 300) -> None:
    """Some steps of an ordinary training loop, on random tokens."""
    torch.manual_seed(0)
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-3)
    for _ in range(steps):
        ids = torch.randint(0, vocab, (4, 17))
        out = forward(ids[:, :-1])
        loss = nn.functional.cross_entropy(out.flatten(0, 1).float(), ids[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def tokenizer_of(source: Source) -> Tokenizer:
    return Tokenizer.from_str(source.tokenizer.tokenizer_json)
