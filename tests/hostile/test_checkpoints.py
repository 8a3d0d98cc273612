"""Checkpoints that lie: about lengths, shapes, shards, or of what kind a value is."""

from __future__ import annotations

import json
import math
import random
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile.outcomes import Outcomes, limit
from hostile.small_checkpoints import CONFIG, KINDS, damaged, write

from llm_export.checkpoints.open import open_checkpoint
from llm_export.checkpoints.weights_file import read_spans
from llm_export.config.schema import CheckpointConfig
from llm_export.errors import CheckpointError
from llm_export.models.detect import detect_model
from llm_export.models.inventory import take_inventory
from llm_export.tokenizers.usable import usable_tokenizer


def read_whole(folder: Path) -> None:
    """What a run reads: the config, the tensors, the tokenizer."""
    adapter = folder / "adapter"
    source = CheckpointConfig(path=str(folder), adapter=str(adapter) if adapter.is_dir() else None)
    take_inventory(source)
    checkpoint = open_checkpoint(source, {})
    for _ in checkpoint.tensors():
        pass
    usable_tokenizer(checkpoint.tokenizer(), 384, compare=False)


def spoil(kind: str, whole: Path, scratch: Path, seeds: range) -> None:
    outcomes = Outcomes("checkpoints")
    for seed in seeds:
        rng = random.Random(seed)
        folder = scratch / str(seed)
        shutil.copytree(whole, folder)
        files = sorted(f for f in folder.rglob("*") if f.is_file())
        vocabulary = kind == "sentencepiece"
        chosen = [f for f in files if ("token" in f.name) is vocabulary]
        weighty = chosen if rng.random() < 0.6 else files
        file = rng.choice(weighty)
        file.write_bytes(damaged(file, rng))
        what = f"{kind} {file.name} seed {seed}"
        outcomes.attempt(kind, what, lambda folder=folder: read_whole(folder))  # type: ignore[misc]
        shutil.rmtree(folder)
    outcomes.finish()


@pytest.fixture(name="small")
def _small(once: Callable[..., Path]) -> Callable[[str], Path]:
    """A whole checkpoint of a kind; not to be changed."""
    return lambda kind: once(lambda out: write(kind, out), "hostile", kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_checkpoint_is_refused_in_words(
    kind: str, small: Callable[[str], Path], tmp_path: Path
) -> None:
    whole = small(kind)
    read_whole(whole)
    spoil(kind, whole, tmp_path, range(12))


def _gguf(*parts: tuple[str, int], body: bytes = b"") -> bytes:
    """A header: magic, version, then numbers by their form."""
    return b"GGUF" + b"".join(struct.pack(f"<{form}", n) for form, n in parts) + body


KEY = (("Q", 1), ("B", 97))
FIELD = (("I", 3), ("Q", 0), ("Q", 1), *KEY)
GGUF_LIES = {
    "an array of 2^40": _gguf(*FIELD, ("I", 9), ("I", 4), ("Q", 1 << 40)),
    "strings of 2^40": _gguf(*FIELD, ("I", 9), ("I", 8), ("Q", 1 << 40)),
    "2^63 fields": _gguf(("I", 3), ("Q", 0), ("Q", 1 << 63), body=bytes(60)),
    "2^63 tensors": _gguf(("I", 3), ("Q", 1 << 63), ("Q", 0), body=bytes(60)),
    "a key of 2^62": _gguf(("I", 3), ("Q", 0), ("Q", 1), ("Q", 1 << 62), body=bytes(60)),
    "2^31 dimensions": _gguf(("I", 3), ("Q", 1), ("Q", 0), *KEY, ("I", 1 << 31), body=bytes(60)),
    "arrays in arrays": _gguf(*FIELD, ("I", 9),
                              *[("I", 9), ("Q", 1)] * 5000, body=bytes(60)),
    "many bytes": _gguf(*FIELD, ("I", 9), ("I", 0), ("Q", 9_000_000),
                        body=bytes(9_000_000)),
}  # fmt: skip


@pytest.mark.parametrize("lie", GGUF_LIES)
def test_what_a_gguf_header_claims_is_held_against_its_size(lie: str, tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(GGUF_LIES[lie])
    with limit(5), pytest.raises(CheckpointError, match=r"claims|arrays deep"):
        take_inventory(CheckpointConfig(path=str(file)))


CONFIGS: list[tuple[dict[str, Any], str]] = [
    ({"num_hidden_layers": 10**30}, "larger than 1024"),
    ({"num_hidden_layers": 10**6}, "larger than 1024"),
    ({"vocab_size": 2**40}, "larger than"),
    ({"vocab_size": -1}, "positive whole number"),
    ({"hidden_size": 1.5}, "positive whole number"),
    ({"rms_norm_eps": math.nan}, "positive number"),
    ({"rope_theta": math.inf}, "not a finite number"),
    ({"rope_scaling": "linear"}, "rope"),
    ({"hidden_act": "x" * 3000}, "hidden_act"),
]


@pytest.mark.parametrize(("change", "what"), CONFIGS)
def test_a_config_of_no_model_is_refused(
    change: dict[str, Any], what: str, small: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(small("safetensors"), tmp_path / "it")
    (folder / "config.json").write_text(json.dumps({**CONFIG, **change}))
    with limit(5):
        refusal = take_inventory(CheckpointConfig(path=str(folder))).refusal
        with pytest.raises(CheckpointError):
            detect_model(CheckpointConfig(path=str(folder)), 64)
    assert refusal is not None
    assert what in refusal
    assert len(refusal) < 700


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 100_000, '{"a": ' + "9" * 5000 + "}",
                                  '{"a": "\\ud800"}', "\x00", "[1]"])  # fmt: skip
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_json_that_is_none_is_refused(
    name: str, text: str, small: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(small("safetensors"), tmp_path / "it")
    (folder / name).write_text(text)
    with limit(5), pytest.raises(CheckpointError, match=r"JSON|not a valid tokenizer"):
        read_whole(folder)


@pytest.mark.parametrize("part", ["normalizer", "pre_tokenizer"])
def test_a_tokenizer_whose_pattern_gives_up_is_refused(
    part: str, small: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(small("safetensors"), tmp_path / "it")
    body = json.loads((folder / "tokenizer.json").read_text())
    kind = {"type": "Replace", "content": "b"} if part == "normalizer" else {
        "type": "Split", "behavior": "Isolated", "invert": False,
    }  # fmt: skip
    body[part] = {**kind, "pattern": {"Regex": "((?:.|..|...)*)*[XY]"}}
    (folder / "tokenizer.json").write_text(json.dumps(body))
    with limit(10), pytest.raises(CheckpointError, match="cannot encode a text"):
        read_whole(folder)


def test_a_torch_file_that_would_unpack_to_more_is_not_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "pytorch_model.bin"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", bytes(40_000_000))
    with pytest.raises(CheckpointError, match="compressed"):
        read_spans(file)
    torch.save({"x": torch.ones(1).expand(1 << 36)}, file)
    with pytest.raises(CheckpointError, match="beyond its end"):
        read_spans(file)


def test_an_index_stays_in_its_folder(small: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(small("shards"), tmp_path / "it")
    for name in ("../a.safetensors", "/etc/passwd", "", "a\0", "x" * 5000, None, {"a": 1}):
        index = {"weight_map": {"x": name}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(CheckpointError, match=r"outside|missing") as caught:
            read_whole(folder)
        assert len(str(caught.value)) < 700
    names = {f"t{i}": f"{i}.safetensors" for i in range(10**5)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with limit(5), pytest.raises(CheckpointError, match="missing"):
        read_whole(folder)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"rank_pattern": {"(?:(?:.|..|...)*)*[XY]": 4}}, "exponential"),
        ({"rank_pattern": {"(": 4}}, "not a regular expression"),
        ({"rank_pattern": ["q"]}, "a mapping"),
        ({"r": "4"}, "a positive number"),
        ({"r": 10**9}, "a positive number"),
        ({"lora_alpha": -1}, "a positive number"),
        ({"modules_to_save": 3}, "a list"),
    ],
)
def test_an_adapter_config_of_no_adapter_is_refused(
    change: dict[str, Any], what: str, small: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(small("adapter"), tmp_path / "it")
    file = folder / "adapter" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with limit(10), pytest.raises(CheckpointError, match=what):
        read_whole(folder)


@pytest.mark.release
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_checkpoints(kind: str, small: Callable[[str], Path], tmp_path: Path) -> None:
    whole = small(kind)
    spoil(kind, whole, tmp_path, range(1000, 1300))
