"""SmolLM2 from every format of its weights says the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from llm_export import api
from llm_export.compat.torchtune_package import load_torchtune, torchtune_is_installed
from llm_export.config.schema import CheckpointConfig, Recipe
from llm_export.models.convert import convert
from llm_export.models.detect import detect_model
from llm_export.models.load_model import load_model

PROMPT = "Three colours that leaves have in autumn are"
TOKENS = 24


def greedy(recipe: Recipe) -> str:
    """Text of TOKENS greedy tokens by the eager model, through its cache."""
    from tokenizers import Tokenizer

    loaded = load_model(recipe, attention="plain", context_length=64, all_logits=False)
    tokenizer = Tokenizer.from_str(loaded.checkpoint.tokenizer().tokenizer_json)
    ids = tokenizer.encode(PROMPT, add_special_tokens=False).ids
    made, fed, position = [], ids, 0
    with torch.no_grad():
        for _ in range(TOKENS):
            logits = loaded.model(torch.tensor([fed]), torch.tensor([position]))
            position += len(fed)
            fed = [int(logits[0, -1].argmax())]
            made += fed
    return str(tokenizer.decode(made))


# Models of few layers agree from each of these formats in tests/parity and tests/unit/checkpoints.
@pytest.mark.release
@pytest.mark.skipif(not torchtune_is_installed(), reason="torchtune is not installed")
def test_the_same_text_from_every_format(tmp_path: Path) -> None:
    shipped = api.compose_recipe(None, ["model=smollm2_135m"]).recipe
    hf = tmp_path / "hf"
    convert(shipped.checkpoint, hf)
    load_torchtune()
    from torchtune.models.convert_weights import hf_to_tune, tune_to_meta

    raw = json.loads((hf / "config.json").read_text())
    sizes = (raw["num_attention_heads"], raw["num_key_value_heads"], raw["hidden_size"])
    tune_names = hf_to_tune(load_file(hf / "model.safetensors"), *sizes)
    for folder in ("torchtune", "meta"):
        (tmp_path / folder).mkdir()
        for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
            (tmp_path / folder / name).write_text((hf / name).read_text())
    torch.save(tune_names, tmp_path / "torchtune" / "torchtune_model_0.pt")
    (tmp_path / "torchtune" / "config.json").write_text(json.dumps(raw))
    meta_names = {n: t for n, t in tune_to_meta(tune_names).items() if n != "output.weight"}
    torch.save(meta_names, tmp_path / "meta" / "consolidated.00.pth")
    params = {
        "dim": raw["hidden_size"], "n_layers": raw["num_hidden_layers"], "n_heads": sizes[0],
        "n_kv_heads": sizes[1], "vocab_size": raw["vocab_size"], "norm_eps": raw["rms_norm_eps"],
        "rope_theta": raw["rope_theta"], "multiple_of": 256,
    }  # fmt: skip
    (tmp_path / "meta" / "params.json").write_text(json.dumps(params))
    del tune_names, meta_names

    texts = {"gguf": greedy(shipped)}
    for folder in ("hf", "torchtune", "meta"):
        source = CheckpointConfig(path=str(tmp_path / folder))
        model = detect_model(source, 2048)
        texts[folder] = greedy(replace(shipped, model=model, checkpoint=source))
    assert len(texts["gguf"]) > TOKENS
    assert set(texts.values()) == {texts["gguf"]}, texts
