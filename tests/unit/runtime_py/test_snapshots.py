"""Snapshots: of caches and of recurrent states, in memory and in files, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from runtime_py import LLM, ArgumentError, BundleRuntimeError, Snapshot

PROMPT = list(range(3, 40))
LATER = [50, 51, 52]


@pytest.fixture(scope="module", params=["attention", "recurrent"])
def bundle(request: pytest.FixtureRequest) -> Path:
    name = "portable_bundle" if request.param == "attention" else "recurrent_bundle"
    found: Path = request.getfixturevalue(name)
    return found


@pytest.fixture(scope="module")
def loaded(bundle: Path) -> LLM:
    return LLM.load(bundle)


@pytest.fixture
def llm(loaded: LLM) -> LLM:
    loaded.reset()
    return loaded


@pytest.fixture(scope="module")
def other(bundle: Path) -> LLM:
    return LLM.load(bundle)


def answer(llm: LLM, prompt: list[int]) -> tuple[list[int], int]:
    """(tokens, how many of the prompt were not fed)"""
    made = llm.generate(prompt, max_new_tokens=6, temperature=0)
    return made.tokens, made.stats.cached_tokens


def taken(llm: LLM) -> Snapshot:
    """After a prompt and an answer of one token, which is not fed."""
    llm.generate(PROMPT, max_new_tokens=1)
    return llm.snapshot()


def test_a_snapshot_goes_on_in_another_program(llm: LLM, other: LLM, tmp_path: Path) -> None:
    snapshot = taken(llm)
    assert snapshot.tokens == tuple(PROMPT)
    snapshot.save(tmp_path / "s")
    expected, _ = answer(llm, [*PROMPT, *LATER])
    other.generate([9, 8, 7], max_new_tokens=3)
    other.restore(Snapshot.load(tmp_path / "s"))
    assert answer(other, [*PROMPT, *LATER]) == (expected, len(PROMPT))
    llm.restore(snapshot)  # as often as one likes, also where it came from
    assert answer(llm, [*PROMPT, *LATER]) == (expected, len(PROMPT))


def test_only_filled_slots_are_copied(llm: LLM, bundle: Path) -> None:
    state = json.loads((bundle / "manifest.json").read_text())["program"]["state"]
    context = llm.program.context_length
    snapshot = taken(llm)
    assert {each["name"] for each in state["tensors"]} == set(snapshot.tensors)
    for each in state["tensors"]:
        shape = list(each["shape"])
        if "slots" in each:
            assert shape[each["slots"]] == context
            shape[each["slots"]] = len(PROMPT)
        assert list(snapshot.tensors[each["name"]].shape) == shape
    assert snapshot.bytes < state["bytes"] / 10
    assert "37 tokens" in repr(snapshot)


def test_an_empty_program_holds_no_former_text(llm: LLM) -> None:
    taken(llm)
    llm.reset()
    snapshot = llm.snapshot()
    assert snapshot.tokens == ()
    assert not any(t.any() for t in snapshot.tensors.values())
    llm.restore(snapshot)
    assert answer(llm, PROMPT)[1] == 0


def test_a_file_is_its_owners_and_replaced_whole(llm: LLM, tmp_path: Path) -> None:
    file = tmp_path / "s"
    file.write_text("something else")
    snapshot = taken(llm)
    snapshot.save(str(file))
    assert file.stat().st_mode & 0o077 == 0
    read = Snapshot.load(file)
    assert (read.tokens, read.furthest) == (snapshot.tokens, snapshot.furthest)
    assert all(torch.equal(read.tensors[name], t) for name, t in snapshot.tensors.items())
    assert os.listdir(tmp_path) == ["s"]
    with pytest.raises(BundleRuntimeError, match="the snapshot cannot be written"):
        taken(llm).save(tmp_path / "nowhere" / "s")
    with pytest.raises(BundleRuntimeError, match="the snapshot cannot be written"):
        taken(llm).save(tmp_path)
    assert os.listdir(tmp_path) == ["s"]


def changed(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[Snapshot], Snapshot]:
    def of(snapshot: Snapshot) -> Snapshot:
        key = next(key for key in snapshot.tensors if name in key)
        return replace(snapshot, tensors={**snapshot.tensors, key: change(snapshot.tensors[key])})

    return of


LONG = (1,) * 5000
REFUSED: dict[str, tuple[Callable[[Snapshot], Any], str]] = {
    "program": (lambda s: replace(s, program="0" * 64), "the snapshot is of another program"),
    "adapter": (lambda s: replace(s, adapter="0" * 64), "the snapshot is of another adapter"),
    "id": (lambda s: replace(s, tokens=(*s.tokens[:-1], 320)), "token id 320 is not in the voc"),
    "negative": (lambda s: replace(s, tokens=(*s.tokens[:-1], -1)), "token id -1 is not in the"),
    "shorter": (lambda s: replace(s, tokens=s.tokens[:-1]), "the state is not of this program"),
    "longer": (lambda s: replace(s, tokens=LONG, furthest=5000), "the state is not of this"),
    "dtype": (changed("k_cache", lambda t: t.to(torch.int32)), "int32, the program has"),
    "shape": (changed("v_cache", lambda t: t[..., :-1]), "the state is not of this program"),
    "none": (lambda s: replace(s, tensors={}), "is in only one of them"),
    "more": (lambda s: replace(s, tensors={**s.tensors, "x": torch.ones(1)}), "x is in only one"),
    "no snapshot": (lambda s: "s", "snapshot must be a Snapshot, not str"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_snapshot_of_something_else_is_refused(llm: LLM, tmp_path: Path, case: str) -> None:
    change, words = REFUSED[case]
    wrong = change(taken(llm))
    if isinstance(wrong, Snapshot):  # a file says the same
        wrong.save(tmp_path / "s")
        wrong = Snapshot.load(tmp_path / "s")
    expected = answer(llm, PROMPT)[0]
    with pytest.raises(BundleRuntimeError, match=words):
        llm.restore(wrong)
    assert answer(llm, PROMPT)[0] == expected  # and nothing is lost


def saved(llm: LLM, folder: Path) -> bytes:
    taken(llm).save(folder / "s")
    return (folder / "s").read_bytes()


def test_a_file_that_is_none_is_refused(portable_bundle: Path, tmp_path: Path) -> None:
    from safetensors.torch import save

    with LLM.load(portable_bundle) as llm:
        whole = saved(llm, tmp_path)
    facts = {"snapshot": "1", "furthest": "1", "program": "0" * 64, "adapter": "", "sha256": "x"}
    files = {
        b"": "the snapshot cannot be read",
        b"x" * 100: "the snapshot cannot be read",
        b"\xff" * 8 + whole[8:]: "the snapshot cannot be read",
        whole[:-1]: "the snapshot cannot be read",
        save({}): "this is no snapshot of format 1",
        save({"tokens": torch.ones(1)}, metadata={**facts, "snapshot": "2"}): "no snapshot of",
        save({"tokens": torch.ones(1)}, metadata=facts): "the snapshot is damaged: its sha256",
        save({"x": torch.ones(1)}, metadata={"snapshot": "1"}): "the snapshot is damaged",
    }
    for data, words in files.items():
        (tmp_path / "s").write_bytes(data)
        with pytest.raises(BundleRuntimeError, match=words):
            Snapshot.load(tmp_path / "s")
    for place in (tmp_path, tmp_path / "none", "a\0b"):
        with pytest.raises(BundleRuntimeError, match="snapshot"):
            Snapshot.load(place)
    with pytest.raises(ArgumentError, match="path must be the name of a file, not int"):
        Snapshot.load(3)  # type: ignore[arg-type]


WRITTEN: dict[str, tuple[dict[str, Any], str]] = {
    "no tokens": ({"tokens": torch.ones(1)}, "it has no tokens"),
    "furthest": ({"furthest": "-1"}, "it has no furthest position"),
    "digits": ({"furthest": "9" * 5000}, "it has no furthest position"),
    "before": ({"furthest": "0"}, "its furthest position is before its last one"),
    "program": ({"program": "x"}, "it names no program"),
    "tensor": ({"other": torch.ones(1)}, "it has a tensor of another kind"),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_a_file_that_says_nonsense_is_refused(tmp_path: Path, case: str) -> None:
    """Whoever writes one can write its digest too."""
    from safetensors.torch import save

    from runtime_py.snapshots import _digest

    said, words = WRITTEN[case]
    facts = {"snapshot": "1", "furthest": "1", "program": "0" * 64, "adapter": ""}
    facts |= {key: value for key, value in said.items() if isinstance(value, str)}
    tensors = {"tokens": torch.tensor([1])} | {
        key: value for key, value in said.items() if isinstance(value, Tensor)
    }
    facts["sha256"] = _digest(tensors, facts)
    (tmp_path / "s").write_bytes(save(tensors, metadata=facts))
    with pytest.raises(BundleRuntimeError, match=words):
        Snapshot.load(tmp_path / "s")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Snapshot]:
    snapshot = Snapshot((1, 2), 2, "0" * 64, "", {"a": torch.ones(1, 2), "b": torch.zeros(0, 3)})
    file = tmp_path_factory.mktemp("small") / "s"
    snapshot.save(file)
    return file, snapshot


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_changed_byte_is_found(small: tuple[Path, Snapshot], data: st.DataObject) -> None:
    file, snapshot = small
    whole = bytearray(file.read_bytes())
    index = data.draw(st.integers(0, len(whole) - 1))
    whole[index] ^= data.draw(st.integers(1, 255))
    damaged = file.with_name("damaged")
    damaged.write_bytes(whole)
    try:
        read = Snapshot.load(damaged)
    except BundleRuntimeError:
        return
    # White space of the header means nothing.
    assert (read.tokens, read.furthest, read.program) == (snapshot.tokens, 2, snapshot.program)
    assert {n: t.tolist() for n, t in read.tensors.items()} == {"a": [[1.0, 1.0]], "b": []}


def test_a_program_that_gives_out_no_state(portable_bundle: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(portable_bundle, tmp_path / "b")
    manifest = json.loads((bundle / "manifest.json").read_text())
    whole = manifest["program"].pop("state")
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with LLM.load(bundle) as llm:
        with pytest.raises(BundleRuntimeError, match="does not give out its state") as caught:
            llm.snapshot()
        assert "runtime.snapshots=require" in str(caught.value)
        assert answer(llm, PROMPT)[0]
    with pytest.raises(BundleRuntimeError, match="the program is closed"):
        llm.snapshot()
    # nor is one read that the manifest does not know
    for wrong, words in (
        ({**whole, "tensors": whole["tensors"][1:]}, "returns 4, the manifest has 0 and 3"),
        ({**whole, "tensors": [{**each, "dtype": "int8"} for each in whole["tensors"]]}, "of tor"),
        ({**whole, "tensors": [{**each, "slots": 4} for each in whole["tensors"]]}, "no dimension"),
        ({**whole, "tensors": whole["tensors"][:1] * 4}, "two tensors of one name"),
    ):
        manifest["program"]["state"] = wrong
        (bundle / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(BundleRuntimeError, match=words):
            LLM.load(bundle)
