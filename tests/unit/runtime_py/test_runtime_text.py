"""Streams, stop strings and tokens of the runtime."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_export.checkpoints.random import RandomCheckpoint
from runtime_py import BundleRuntimeError
from runtime_py.stop_strings import StopStrings
from runtime_py.tokenizer import TextStream, TextTokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    assets = RandomCheckpoint(0, {"embed.weight": (320, 8)}).tokenizer()
    path = tmp_path_factory.mktemp("tok") / "tokenizer.json"
    path.write_text(assets.tokenizer_json)
    return TextTokenizer(path, bos_id=assets.bos_id, eos_ids=assets.eos_ids, add_bos=True)


@given(text=st.text(max_size=40))
def test_a_stream_yields_what_decoding_at_once_yields(tokenizer: TextTokenizer, text: str) -> None:
    ids = tokenizer.encode(text, raw=False)
    stream = TextStream(tokenizer)
    pieces = [stream.push(i) for i in ids]
    assert "".join([*pieces, stream.flush()]) == tokenizer.decode(ids) == text


def test_half_a_character_is_held_back(tokenizer: TextTokenizer) -> None:
    ids = tokenizer.encode("é", raw=False)
    assert len(ids) == 2
    stream = TextStream(tokenizer)
    assert stream.push(ids[0]) == ""
    assert stream.push(ids[1]) == "é"


def test_bos_goes_before_raw_prompts_once(tokenizer: TextTokenizer) -> None:
    bos = tokenizer.bos_id
    assert tokenizer.encode("a")[0] == bos
    assert tokenizer.encode("<|begin|>a").count(bos) == 1
    assert bos not in tokenizer.encode("a", raw=False)


@given(
    st.text(alphabet="abc", max_size=30),
    st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3),
    st.integers(1, 5),
)
def test_stop_strings_cut_where_they_first_occur(text: str, stop: list[str], size: int) -> None:
    hold, out, stopped = StopStrings(stop), "", False
    for i in range(0, len(text), size):
        piece, stopped = hold.push(text[i : i + size])
        out += piece
        if stopped:
            break
    if not stopped:
        out += hold.flush()
    found = [text.find(s) for s in stop if s in text]
    if not found:
        assert out == text
    else:
        # Pieces arrive in chunks: the cut is at a stop string, and none is in the output.
        assert stopped
        assert text.startswith(out)
        assert not any(s in out for s in stop)


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BundleRuntimeError, match="the tokenizer cannot be read"):
        TextTokenizer(tmp_path / "tokenizer.json", bos_id=None, eos_ids=[], add_bos=False)


def test_ids_without_a_token(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    assert tokenizer.without_text(320) == []
    assert tokenizer.without_text(323) == [320, 321, 322]
    path = tmp_path / "tokenizer.json"
    path.write_text(RandomCheckpoint(0, {"embed.weight": (320, 8)}).tokenizer().tokenizer_json)
    stops = TextTokenizer(path, bos_id=None, eos_ids=(321,), add_bos=False)
    assert stops.without_text(323) == [320, 322]
    assert stops.decode([320, 72]) == stops.decode([72])


def test_long_stop_strings_cost_no_more_than_the_text() -> None:
    held = StopStrings(["a" * 2_000_000])
    assert [held.push("a") for _ in range(100)] == [("", False)] * 100
    assert held.push("b") == ("a" * 100 + "b", False)
