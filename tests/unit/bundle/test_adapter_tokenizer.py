"""An adapter answers with the chat template and the end that its own folder has."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from llm_export.bundle.adapter_tokenizer import of_folder, tokenizer_entry, write_own
from llm_export.bundle.manifest import AdapterTokenizer, Manifest
from llm_export.bundle.write import seal
from llm_export.errors import CheckpointError
from llm_export.tokenizers.folder import read_tokenizer
from runtime_py.bundle import Bundle
from runtime_py.chat_template import ChatTemplate

TALK = [{"role": "user", "content": "What?"}]
POET = "{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}"
START = "<|begin|>"


@pytest.fixture
def bundle(portable_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(portable_bundle, tmp_path / "bundle"))


@pytest.fixture
def folder(bundle: Path, tmp_path: Path) -> Path:
    """An adapter's folder as a trainer leaves it, with a template and an EOS of its own."""
    made = tmp_path / "poet"
    made.mkdir()
    shutil.copy(bundle / "tokenizer.json", made)
    settings = {"eos_token": START, "bos_token": START, "chat_template": POET}
    (made / "tokenizer_config.json").write_text(json.dumps(settings))
    return made


def manifest_of(bundle: Path) -> Manifest:
    return Manifest.from_dict(Bundle.open(bundle).manifest)


def added(
    bundle: Path, folder: Path, name: str = "poet", ends: tuple[int, ...] | None = None
) -> AdapterTokenizer | None:
    assets, entry = of_folder(bundle, manifest_of(bundle), "base", folder, ends=ends, compare=False)
    return write_own(bundle, manifest_of(bundle), name, assets, entry)


def with_own(bundle: Path, **own: AdapterTokenizer) -> Bundle:
    """The bundle, opened again with adapters that have a tokenizer of their own."""
    (bundle / "adapters").mkdir(exist_ok=True)
    files = {name: f"adapters/{name}.ptd" for name in ("usual", *own)}
    for file in files.values():
        (bundle / file).write_bytes(b"weights")
    manifest = replace(
        manifest_of(bundle), adapters=files, default_adapter="usual", adapter_tokenizers=own
    )
    seal(bundle, manifest)
    return Bundle.open(bundle, verify_hashes=True)


def test_an_adapter_has_what_its_folder_says(bundle: Path, folder: Path) -> None:
    (bundle / "adapters").mkdir()
    own = added(bundle, folder)
    assert own is not None
    opened = with_own(bundle, poet=own)
    poet, usual = opened.with_adapter("poet"), opened.with_adapter("usual")
    assert usual is opened is opened.with_adapter(None)
    theirs = AutoTokenizer.from_pretrained(folder)
    assert theirs.eos_token_id in poet.manifest["tokenizer"]["eos_ids"]
    assert theirs.eos_token_id not in usual.manifest["tokenizer"]["eos_ids"]
    assert poet.manifest["tokenizer"]["stop_strings"] == ["<|end|>", START]
    file = poet.file("chat_template")
    assert file == bundle / "adapters/poet.chat_template.jinja"
    template = ChatTemplate(file.read_text(), poet.manifest["tokenizer"]["special_tokens"])
    expected = theirs.apply_chat_template(TALK, tokenize=False)
    assert template.render(TALK) == expected == f"What?{START}"
    assert poet.manifest["chat"]["example"]["text"].endswith(START)
    # What is the same is not stored twice.
    assert poet.file("tokenizer") == usual.file("tokenizer") == bundle / "tokenizer.json"


def test_an_adapter_without_a_tokenizer_has_the_base_models(
    bundle: Path, folder: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    assert added(bundle, bare) is None
    # Where the default adapter is the one with a template, the base model has another.
    (bundle / "adapters").mkdir()
    assets = read_tokenizer(folder)
    base = replace(assets, chat_template=None)
    own = write_own(bundle, manifest_of(bundle), "base", base, tokenizer_entry(base))
    assert own is not None
    assert own.chat is None
    opened = with_own(bundle, base=own)
    assert opened.with_adapter("base").file("chat_template") is None
    assert "chat" not in opened.with_adapter("base").manifest
    found = added(bundle, bare, "bare")
    assert found is not None
    assert (found.tokenizer, found.roles, found.chat) == (own.tokenizer, own.roles, None)


def test_the_base_models_ends_are_those_of_its_generation_config(
    bundle: Path, folder: Path
) -> None:
    (bundle / "adapters").mkdir()
    own_end = read_tokenizer(folder).eos_ids
    for ends, expected in (((), own_end), ((5,), (5, *own_end))):
        own = added(bundle, folder, ends=ends)
        assert own is not None
        assert own.tokenizer.eos_ids == expected


def test_another_vocabulary_is_refused(bundle: Path, folder: Path) -> None:
    body = json.loads((folder / "tokenizer.json").read_text())
    vocab = body["model"]["vocab"]
    first, second = list(vocab)[:2]
    vocab[first], vocab[second] = vocab[second], vocab[first]
    (folder / "tokenizer.json").write_text(json.dumps(body))
    with pytest.raises(CheckpointError, match="a tokenizer with another vocabulary"):
        added(bundle, folder)
