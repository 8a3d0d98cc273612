"""A chat stops where the chat template ends a turn, and no id without a token is sampled."""

from __future__ import annotations

import json
from pathlib import Path

import hf_models
import pytest
import torch
from chat_templates import TEMPLATES
from executorch.runtime import Runtime
from tokenizers import AddedToken, Tokenizer

from llm_export import api
from llm_export.checkpoints.random import RandomCheckpoint
from runtime_py import LLM

END, ROWS = "<|im_end|>", hf_models.SIZES["vocab_size"]


def _checkpoint(folder: Path) -> tuple[Path, int]:
    """A model that answers "Hi<|im_end|>" to all, and the id of that end. After "H" a row of the
    embedding that is no token has the largest logit. config.json names another end.
    """
    assets = RandomCheckpoint(0, {"embed.weight": (ROWS, 8)}).tokenizer()
    body = json.loads(assets.tokenizer_json)
    vocabulary = body["model"]["vocab"]
    body["model"]["vocab"] = {t: i for t, i in vocabulary.items() if not t.startswith("<unused")}
    body["added_tokens"] = []
    tokenizer = Tokenizer.from_str(json.dumps(body))
    tokenizer.add_tokens([AddedToken(t, special=True) for t in ("</s>", "<|im_start|>", END)])
    place = {text: tokenizer.encode(text).ids[-1] for text in ("\n", "H", "i", END, "</s>")}

    model = hf_models.llama(eos_token_id=place["</s>"], bos_token_id=None, num_hidden_layers=1)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "norm" not in name:
                tensor.zero_()
        embed, head = model.model.embed_tokens.weight, model.lm_head.weight
        for channel, (text, following) in enumerate((("\n", "H"), ("H", "i"), ("i", END))):
            embed[place[text], channel] = 1
            head[place[following], channel] = 1
        head[ROWS - 1, 1] = 2
    hf_models.save(model, folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "</s>", "chat_template": TEMPLATES["qwen3_5"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder, place[END]


@pytest.mark.slow
def test_a_chat_ends_with_the_turn(tmp_path: Path) -> None:
    folder, end = _checkpoint(tmp_path / "m")
    words = ["model=auto", f"checkpoint.path={folder}", "backend=portable", "verify=off",
             "benchmark=off", "runtime=static", "runtime.context_length=64"]  # fmt: skip
    said = " ".join(api.validate(None, words).notes)
    out = tmp_path / "bundle"
    api.run(None, [*words, f"out={out}"], quiet=True)
    told = json.loads((out / "run.json").read_text())["stages"][0]["facts"]["summary"]
    for text in (said, told, (out / "report.md").read_text()):
        assert f"an answer ends with '{END}' ({end}) too" in text
        assert "of the 320 rows of the embedding are no token of the tokenizer" in text
    llm = LLM.load(out)
    answer = llm.chat("Hello", max_new_tokens=8)
    assert (answer.text, answer.finish, len(answer.tokens)) == ("Hi", "eos", 3)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["tokenizer"]["stop_strings"] == ["</s>", END]
    loaded = Runtime.get().load_program(out / "model.pte")
    assert loaded.load_method("get_eos_ids").execute([]) == manifest["tokenizer"]["eos_ids"]
