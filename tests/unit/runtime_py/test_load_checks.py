"""What is checked before ExecuTorch sees it: it would end the process."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hostile.bundle_mutations import forge

from runtime_py import LLM, BundleRuntimeError
from runtime_py.bundle import Bundle
from runtime_py.manifest import manifest_schema
from runtime_py.program_header import check_program_header
from runtime_py.sampling.settings import _RULES
from runtime_py.threads import set_threads, thread_count


@pytest.fixture
def bundle(portable_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(portable_bundle, tmp_path / "bundle"))


def changed(bundle: Path, entry: str, **values: Any) -> None:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest[entry] |= values
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("entry", "values", "words"),
    [
        ("program", {"steps": {}}, "program.steps: {} should be non-empty"),
        ("program", {"steps": {"x": 512}}, "gives steps to a method that it does not list: x"),
        ("program", {"steps": {"x": 512}, "methods": ["x"]}, "the program has no method 'x'"),
        ("program", {"prefill_length": 4}, "steps take up to 512 tokens, but its prefill_length"),
        ("program", {"steps": {"forward": 600}, "prefill_length": 600}, r"takes tokens \(1, 512\)"),
        ("program", {"vocab_size": 500}, r"returns logits \(1, 320\)"),
        ("program", {"context_length": 4096}, "get_max_context_len is 2048 in the program, 4096"),
        ("program", {"token_dtype": "int32"}, "does not take tokens of torch.int32"),
        ("program", {"context_length": 2048.0}, "context_length: 2048.0 is not of type 'integer'"),
        ("program", {"context_length": 2**64}, "is not of type 'integer'"),
        ("program", {"cache_io": {"windows": [None], "hidden": -1.0,
                     "layers": [{"keys": [1, 2, 2**40, 4], "values": None}]}},
         "takes 2 tensors and returns 1, the manifest has 4 and 2"),
        ("tokenizer", {"bos_id": -1}, "tokenizer.bos_id: -1 is less than"),
        ("tokenizer", {"special_tokens": {"bos_token": "\ud800"}}, "not valid JSON"),
        ("sampling", {"temperature": float("inf")}, "Infinity is no number of JSON"),
        ("sampling", {"top_k": True}, "True is not of type 'integer'"),
    ],
)  # fmt: skip
def test_a_manifest_of_another_program_is_refused(
    bundle: Path, entry: str, values: dict[str, Any], words: str
) -> None:
    changed(bundle, entry, **values)
    with pytest.raises(BundleRuntimeError, match=words):
        LLM.load(bundle)


def test_the_settings_have_the_ranges_of_the_manifest() -> None:
    entries = manifest_schema()["properties"]["sampling"]["properties"]
    assert set(entries) == set(_RULES)
    for name, rule in _RULES.items():
        entry = entries[name]
        assert entry["type"] == ("integer" if rule.whole else "number")
        assert entry.get("minimum", entry.get("exclusiveMinimum")) == rule.low
        assert ("minimum" in entry) == rule.low_too
        assert entry.get("maximum", 2**63 - 1) == rule.high


def test_a_program_that_is_cut_off_is_refused(portable_bundle: Path, tmp_path: Path) -> None:
    whole, file = (portable_bundle / "model.pte").read_bytes(), tmp_path / "model.pte"
    check_program_header(portable_bundle / "model.pte")
    for data, words in (
        (b"", "does not begin as an ExecuTorch program"),
        (whole[:4] + b"ET99" + whole[8:], "does not begin as"),
        (whole[:8] + b"xx00" + whole[12:], "no extended header"),
        (whole[:50], "its tables do not lie within its 50 bytes"),
        (b"\xff" * 4 + whole[4:], "its tables do not lie"),
        (whole[:-200], "its segments do not lie"),
        (whole[:24] + b"\xff" * 8 + whole[32:], "its segments do not lie"),
    ):
        file.write_bytes(data)
        with pytest.raises(BundleRuntimeError, match=words):
            check_program_header(file)


def test_a_token_without_an_embedding_is_named(bundle: Path) -> None:
    body = json.loads((bundle / "tokenizer.json").read_text())
    body["added_tokens"].append({
        "id": 320, "content": "<|new|>", "single_word": False, "lstrip": False, "rstrip": False,
        "normalized": False, "special": True,
    })  # fmt: skip
    forge(bundle, "tokenizer.json", json.dumps(body).encode())
    with LLM.load(bundle) as llm:
        with pytest.raises(BundleRuntimeError, match="token id 320 has no embedding"):
            llm.generate("a<|new|>")
        with pytest.raises(BundleRuntimeError, match="token id 320 is not in the vocabulary"):
            llm.program.step([320])
        assert llm.generate("a", max_new_tokens=1).tokens


def test_a_regular_expression_that_gives_up_is_an_error(bundle: Path) -> None:
    body = json.loads((bundle / "tokenizer.json").read_text())
    body["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "(a+)+$"},
                             "behavior": "Isolated", "invert": False}  # fmt: skip
    forge(bundle, "tokenizer.json", json.dumps(body).encode())
    with (
        LLM.load(bundle) as llm,
        pytest.raises(BundleRuntimeError, match="the tokenizer cannot encode this text"),
    ):
        llm.generate("a" * 60 + "b")


def test_special_tokens_do_not_stand_for_the_messages(bundle: Path) -> None:
    with LLM.load(bundle) as llm:
        expected = llm.count_tokens([{"role": "user", "content": "x"}])
    changed(bundle, "tokenizer", special_tokens={
        "bos_token": "<|begin|>", "eos_token": "<|end|>", "messages": "x", "tools": "x",
    })  # fmt: skip
    with LLM.load(bundle) as llm:
        assert llm.count_tokens([{"role": "user", "content": "x"}]) == expected


def test_a_template_that_is_no_text_is_refused(bundle: Path) -> None:
    forge(bundle, "chat_template.jinja", b"\xff")
    with (
        LLM.load(bundle) as llm,
        pytest.raises(BundleRuntimeError, match="the chat template cannot be read"),
    ):
        llm.chat("hello")


def test_a_system_without_proc_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("runtime_py.processor_table.FILE", tmp_path / "cpuinfo")
    for call in (thread_count, lambda: set_threads(1)):
        with pytest.raises(BundleRuntimeError, match="hides its processor"):
            call()


@pytest.mark.parametrize(
    ("text", "words"),
    [('{"a": ', "is not valid JSON"), ("[1]", r"not valid: manifest: \[1\] is not of type 'obj")],
)
def test_a_damaged_manifest_says_how_to_go_on(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BundleRuntimeError, match=words) as raised:
        Bundle.open(tmp_path)
    assert raised.value.fix == "copy the bundle again; or llm-export run RECIPE makes one"
