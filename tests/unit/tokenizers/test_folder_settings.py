"""Settings files next to a tokenizer.json: which one counts, and what contradicts it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from odd_folders import BASE, CHAT, END, PLAIN, START, STOP, _token, _tokenizer
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from llm_export.bundle.write import write_tokenizer
from llm_export.errors import CheckpointError
from llm_export.tokenizers.adapters import of_adapter
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.fit import as_bundled, fit_to_model
from llm_export.tokenizers.folder import read_tokenizer
from llm_export.tokenizers.generation import SamplingSettings, read_generation
from llm_export.tokenizers.usable import encoding_tokenizer, usable_tokenizer
from runtime_py.tokenizer import TextTokenizer

MADE = {"inside": [_token(END)], "front": None, "after": None, "truncation": False,
        "padding": False}  # fmt: skip


def folder_of(folder: Path, made: dict[str, Any] | None = None, **files: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if made is not None:
        _tokenizer({**MADE, **made}).save(str(folder / "tokenizer.json"))
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_an_id_that_two_files_dispute(tmp_path: Path) -> None:
    config = {"added_tokens_decoder": {str(BASE + 3): _token(START)}, "eos_token": END}
    folder = folder_of(tmp_path, {}, tokenizer_config__json=config)
    with pytest.raises(CheckpointError) as caught:
        read_tokenizer(folder)
    assert f"tokenizer_config.json gives the token '{START}' the id 259" in str(caught.value)
    assert "tokenizer.json gives it 257" in str(caught.value)


def test_truncation_and_padding_of_a_training_script_go(tmp_path: Path) -> None:
    assets = read_tokenizer(
        folder_of(tmp_path, {"truncation": True, "padding": True},
                  tokenizer_config__json={"eos_token": END})
    )  # fmt: skip
    body = json.loads(assets.tokenizer_json)
    assert body["truncation"] is None
    assert body["padding"] is None


def test_a_post_processor_that_ends_texts(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"after": END}, tokenizer_config__json={"eos_token": END})
    assets = read_tokenizer(folder)
    with pytest.raises(CheckpointError, match=r"post-processor of tokenizer\.json"):
        usable_tokenizer(assets, None, compare=False)
    found, _ = encoding_tokenizer(assets, None)
    assert found.around == assets.around


def test_templates_without_a_default(tmp_path: Path) -> None:
    named = [{"name": "tools", "template": PLAIN}]
    folder = folder_of(tmp_path, {}, tokenizer_config__json={"chat_template": named})
    with pytest.raises(CheckpointError, match="tools are there, and none is the default"):
        read_tokenizer(folder)
    (folder / "chat_template.jinja").write_text(CHAT)
    assert read_tokenizer(folder).chat_template == CHAT


def test_the_template_of_a_processor(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {}, chat_template__json={"chat_template": CHAT})
    assert read_tokenizer(folder).chat_template == CHAT


def test_an_adapter_brings_its_template_and_its_end(tmp_path: Path) -> None:
    inside = {"inside": [_token(END), _token(STOP)]}
    base = read_tokenizer(
        folder_of(tmp_path / "base", inside, tokenizer_config__json={"eos_token": END},
                  generation_config__json={"eos_token_id": 7, "repetition_penalty": 1.3})
    )  # fmt: skip
    settings = {"eos_token": STOP, "chat_template": CHAT}
    whole = folder_of(tmp_path / "whole", inside, tokenizer_config__json=settings)
    part = folder_of(tmp_path / "part", tokenizer_config__json=settings)
    for folder in (whole, part):
        merged = of_adapter(base, folder)
        assert merged.chat_template == CHAT
        assert merged.eos_ids == (7, BASE + 1)
        assert merged.special_tokens["eos_token"] == STOP
        assert merged.generation.sampling.repetition_penalty == 1.3
    other = folder_of(tmp_path / "other", {"inside": [_token(STOP), _token(END)]})
    with pytest.raises(CheckpointError, match="other ids for"):
        of_adapter(base, other)
    assert of_adapter(base, folder_of(tmp_path / "none")) == base


def test_tokens_beyond_the_embedding(tmp_path: Path) -> None:
    config = {"eos_token": END, "pad_token": "<pad>", "chat_template": "{{ messages }}"}
    assets = read_tokenizer(folder_of(tmp_path, {}, tokenizer_config__json=config))
    assert fit_to_model(assets, BASE + 2) == (assets, ())
    fitting, (remark,) = fit_to_model(assets, BASE + 1)
    assert f"'<pad>' ({BASE + 1})" in remark
    assert "<pad>" not in fitting.tokenizer_json
    assert dict(fitting.special_tokens) == {"eos_token": END}
    (tmp_path / "chat_template.jinja").write_text("{{ pad_token }}")
    with pytest.raises(CheckpointError, match=rf"there is none for '<pad>' \({BASE + 1}\)"):
        fit_to_model(read_tokenizer(tmp_path), BASE + 1)


def test_an_embedding_with_padding(tmp_path: Path) -> None:
    assets = read_tokenizer(folder_of(tmp_path, {}, tokenizer_config__json={"eos_token": END}))
    fitting, (remark,) = fit_to_model(assets, BASE + 65)
    assert fitting == assets
    assert remark == f"64 of the {BASE + 65} rows of the embedding are no token of the tokenizer"
    bundled, said = as_bundled(assets, BASE + 65)
    assert said == (remark,)
    _one_token_for_each_row(bundled, BASE + 65, tmp_path)
    assert as_bundled(bundled, BASE + 65) == (bundled, ())


def test_a_gap_before_the_last_token(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {}, tokenizer_config__json={"eos_token": END})
    body = json.loads((folder / "tokenizer.json").read_text())
    moved = body["added_tokens"][-1] | {"id": BASE + 9, "content": "<late>"}
    body["added_tokens"].append(moved)
    body["model"]["vocab"] |= {END: BASE, "<late>": BASE + 9}
    (folder / "tokenizer.json").write_text(json.dumps(body))
    assets = read_tokenizer(folder)
    library = Tokenizer.from_str(assets.tokenizer_json)
    assert [library.token_to_id(text) for text in (END, "<late>")] == [BASE, BASE + 9]
    bundled, _ = as_bundled(assets, BASE + 12)
    _one_token_for_each_row(bundled, BASE + 12, tmp_path)


def test_ids_that_the_library_counts_otherwise_are_left_alone(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {}, tokenizer_config__json={"eos_token": END})
    body = json.loads((folder / "tokenizer.json").read_text())
    body["model"]["vocab"]["late"] = BASE + 9
    assets = read_tokenizer(folder)
    assets = replace(assets, tokenizer_json=json.dumps(body), eos_ids=(BASE + 1,))
    bundled, said = as_bundled(assets, BASE + 12)
    assert bundled == assets
    assert said[-1] == f"an app cannot take the tokenizer's size for {BASE + 12} logits"


def _one_token_for_each_row(assets: TokenizerAssets, rows: int, folder: Path) -> None:
    """For Hugging Face's library, ExecuTorch's C++ one, transformers and ``runtime_py``."""
    from pytorch_tokenizers.pytorch_tokenizers_cpp import HFTokenizer

    write_tokenizer(folder, assets)
    file = folder / "tokenizer.json"
    cpp = HFTokenizer()
    cpp.load(str(file))
    assert cpp.vocab_size() == rows
    theirs = AutoTokenizer.from_pretrained(folder)
    assert len(theirs) == rows
    known = theirs.get_vocab()
    assert sorted(known.values()) == list(range(rows))
    nameless = [i for text, i in known.items() if text.startswith("<|no_token_")]
    assert nameless
    for text in ("some text", f"{END}<|no_token_{nameless[-1]}|>"):
        ids = theirs(text, add_special_tokens=False).input_ids
        assert cpp.encode(text, 0, 0) == ids
    assert ids == [known[END], nameless[-1]]
    ours = TextTokenizer(file, bos_id=None, eos_ids=[known[END]], add_bos=False)
    assert ours.without_text(rows) == sorted(nameless)
    assert ours.decode(nameless) == ""


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({}, SamplingSettings()),
        ({"do_sample": False, "temperature": 0.6, "top_p": 0.9}, SamplingSettings()),
        ({"do_sample": True}, SamplingSettings(1.0, 50, 1.0)),
        ({"do_sample": True, "temperature": 0.6, "top_k": 0, "min_p": 0.1},
         SamplingSettings(0.6, 0, 1.0, 0.1)),
        ({"repetition_penalty": 1.1}, SamplingSettings(repetition_penalty=1.1)),
    ],
)  # fmt: skip
def test_sampling(tmp_path: Path, stated: dict[str, Any], expected: SamplingSettings) -> None:
    found = read_generation(folder_of(tmp_path, generation_config__json=stated))
    assert found.sampling == expected
    again = folder_of(tmp_path / "again", generation_config__json=expected.as_hf())
    assert read_generation(again).sampling == expected


def test_what_no_runtime_does_is_named(tmp_path: Path) -> None:
    stated = {"num_beams": 4, "no_repeat_ngram_size": 0, "stop_strings": ["x"]}
    found = read_generation(folder_of(tmp_path, generation_config__json=stated))
    assert found.not_done == ("num_beams=4", "stop_strings=['x']")


def test_a_generation_config_precedes_config_json(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, config__json={"eos_token_id": 2, "do_sample": True})
    assert read_generation(folder).eos_ids == (2,)
    assert read_generation(folder).sampling.temperature == 1.0
    folder_of(tmp_path, generation_config__json={"eos_token_id": [3, 4]})
    assert read_generation(folder).eos_ids == (3, 4, 2)
    folder_of(tmp_path, config__json={"eos_token_id": [4, 9], "text_config": {"vocab_size": 9}})
    assert read_generation(folder).eos_ids == (3, 4)
    folder_of(tmp_path, config__json={"text_config": {"eos_token_id": 5}})
    assert read_generation(folder).eos_ids == (3, 4, 5)
    assert read_generation(folder).sampling.temperature == 0.0
    folder_of(tmp_path, generation_config__json={"top_p": 2.0, "do_sample": True})
    with pytest.raises(CheckpointError, match=r"top_p=2.0 is out of range"):
        read_generation(folder)
