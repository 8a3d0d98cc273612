"""The server with a bundle that embeds."""

from __future__ import annotations

import base64
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import embed_bundles
import httpx2
import pytest
import torch
from embed_bundles import VOCABULARY, expected, write_manifest
from server_tools import USER, error_of, times_opened

from runtime_py.errors import ArgumentError
from runtime_py.server import Settings
from runtime_py.server.listen import background

TEXTS = ["the sun shines", "a dog ran", "rain falls at night"]


@pytest.fixture(scope="module")
def bundle(once: Callable[..., Path]) -> Path:
    return once(embed_bundles.make, "bundle that embeds")


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[httpx2.Client]:
    settings = Settings(port=0, model_name="tiny")
    with (
        background(bundle, settings) as (address, _),
        httpx2.Client(base_url=address, timeout=300) as made,
    ):
        yield made


def embed(client: httpx2.Client, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/embeddings", json=body)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def vectors(found: dict[str, Any]) -> torch.Tensor:
    assert [each["index"] for each in found["data"]] == list(range(len(found["data"])))
    return torch.tensor([each["embedding"] for each in found["data"]])


def test_a_bundle_is_opened_once(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert times_opened(bundle, monkeypatch) == 1


def test_texts(client: httpx2.Client) -> None:
    found = embed(client, input=TEXTS, model="tiny")
    assert torch.allclose(vectors(found), expected(TEXTS), atol=1e-6)
    assert (found["object"], found["data"][0]["object"]) == ("list", "embedding")
    assert found["usage"] == {"prompt_tokens": 16, "total_tokens": 16}
    assert torch.allclose(vectors(embed(client, input="sun")), expected(["sun"]), atol=1e-6)
    many = TEXTS * 20  # more than are embedded in one turn
    assert torch.allclose(vectors(embed(client, input=many)), expected(many), atol=1e-6)


def test_ids_prompts_cuts_and_base64(client: httpx2.Client) -> None:
    sun = [2, VOCABULARY.index("sun"), 3]
    for ids in (sun, [sun]):
        assert torch.allclose(vectors(embed(client, input=ids)), expected(["sun"]), atol=1e-6)
    query = expected(["query: sun"])
    assert torch.allclose(vectors(embed(client, input="sun", prompt="query")), query, atol=1e-6)
    found = embed(client, input="sun", dimensions=8, encoding_format="base64")
    values = struct.unpack("<8f", base64.b64decode(found["data"][0]["embedding"]))
    cut = torch.nn.functional.normalize(expected(["sun"])[:, :8], dim=1)
    assert torch.allclose(torch.tensor([values]), cut, atol=1e-6)
    long = embed(client, input="cat " * 20, truncate=True)
    assert long["usage"]["prompt_tokens"] == 12


WRONG: list[tuple[str, dict[str, Any], int, str, str | None, str | None]] = [
    ("embeddings", {"input": ["sun", "cat " * 20]}, 400, "input[1] has 22 tokens; the model takes",
     "input", "context_length_exceeded"),
    ("embeddings", {"input": []}, 400, "input has no text", "input", "invalid_value"),
    ("embeddings", {"input": ["x"] * 2049}, 400, "2048 texts at most", "input", "invalid_value"),
    ("embeddings", {"input": [[2, 99]]}, 400, "input[0] has the token 99", "input", None),
    ("embeddings", {"input": "sun", "dimensions": 5}, 400, "must be one of 16, 8, not 5",
     "dimensions", None),
    ("embeddings", {"input": "sun", "encoding_format": "hex"}, 400, "must be float or base64",
     "encoding_format", "invalid_value"),
    ("embeddings", {"input": [2, 3], "prompt": "query"}, 400, "prompt is for texts", "prompt",
     "invalid_value"),
    ("embeddings", {"input": "sun", "model": "gpt"}, 404, "no model 'gpt'", "model",
     "model_not_found"),
    ("chat/completions", {"messages": USER}, 400, "'tiny' embeds texts and generates no text: use",
     "model", "model_not_supported"),
    ("completions", {"prompt": "a"}, 400, "'tiny' embeds texts and generates no text", "model",
     "model_not_supported"),
    ("audio/transcriptions", {}, 400, "'tiny' does not transcribe speech: serve", "model",
     "model_not_supported"),
    ("responses", {"input": "a"}, 400, "'tiny' embeds texts and generates no text", "model",
     "model_not_supported"),
]  # fmt: skip


@pytest.mark.parametrize("case", WRONG, ids=[f"{row[0]} {row[3][:20]}" for row in WRONG])
def test_what_is_refused(client: httpx2.Client, case: tuple[Any, ...]) -> None:
    path, body, status, message, param, code = case
    found = error_of(client.post(f"/v1/{path}", json=body))
    assert (found[0], *found[2:]) == (status, param, code)
    assert message in found[1]


def test_models_health_and_metrics(client: httpx2.Client) -> None:
    embed(client, input=TEXTS)
    (model,) = client.get("/v1/models").json()["data"]
    assert model["meta"]["task"] == "embed"
    assert (model["meta"]["n_embd"], model["meta"]["matryoshka"]) == (16, [16, 8])
    assert client.get("/health").json() == {"status": "ok"}
    metrics = client.get("/metrics").text
    count = next(line for line in metrics.splitlines() if line.startswith("llm_embedded_texts_t"))
    assert float(count.split()[1]) >= 3
    assert client.get("/api/info").status_code == 400
    assert model["meta"]["chat"] is False
    page = client.get("/").text
    assert "This model embeds texts" in page
    assert f"curl {str(client.base_url).rstrip('/')}/v1/embeddings -H" in page


def test_settings_of_other_bundles(bundle: Path) -> None:
    with (
        pytest.raises(ArgumentError, match="the bundle embeds texts; adapter is for bundles that"),
        background(bundle, Settings(port=0, adapter="x")),
    ):
        pass


def test_a_bundle_that_cannot_be_loaded(bundle: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(bundle, tmp_path / "broken")
    write_manifest(broken, max_length=13)
    with (
        pytest.raises(Exception, match="is not the one that the manifest describes"),
        background(broken, Settings(port=0)),
    ):
        pass


@pytest.mark.slow
def test_the_client_of_openai(client: httpx2.Client) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="x", max_retries=0) as made:
        found = made.embeddings.create(model="tiny", input=TEXTS, dimensions=8)
        cut = torch.nn.functional.normalize(expected(TEXTS)[:, :8], dim=1)
        values = torch.tensor([each.embedding for each in found.data])
        assert torch.allclose(values, cut, atol=1e-6)
        assert found.usage.prompt_tokens == 16
        plain = made.embeddings.create(model="tiny", input="sun", encoding_format="float")
        assert torch.allclose(torch.tensor([plain.data[0].embedding]), expected(["sun"]), atol=1e-6)
        with pytest.raises(openai.BadRequestError, match="embeds texts and generates no text"):
            made.chat.completions.create(model="tiny", messages=USER)


def test_a_wrong_text_is_named_by_its_place_in_the_request(client: httpx2.Client) -> None:
    response = client.post("/v1/embeddings", json={"input": [*[[1]] * 59, []]})
    status, message, *_ = error_of(response)
    assert (status, message) == (400, "input[59] must be a list of token ids, at least one")
