"""The C++ project, built: its tokenizer on every kind of BPE, its answers, and 64-bit Arm."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from vocabularies import english

from llm_export import api
from llm_export.deploy.cpp.tokenizer_steps import hexed
from llm_export.deploy.cpp.tokenizer_table import tokenizer_table
from llm_export.errors import LlmExportError, MissingDependencyError
from llm_export.tokenizers.gguf_pretokenizers import PRE_TOKENIZERS
from runtime_py.tokenizer import TextTokenizer

pytestmark = pytest.mark.slow

TOOLS = ("cmake", "make", "g++")
ADDED = (
    AddedToken("<|a|>", special=True), AddedToken("  ", normalized=False), AddedToken("don"),
    AddedToken("<m>", lstrip=True, rstrip=True),
)  # fmt: skip
SPACES = decoders.Sequence([
    decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0),
])  # fmt: skip


def require(*tools: str) -> None:
    if missing := [tool for tool in tools if shutil.which(tool) is None]:
        pytest.skip(f"no {missing[0]} here")


@pytest.fixture(scope="module")
def built(export: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project, built and tested."""
    require(*TOOLS)
    bundle = export("backend=xnnpack", "quant=8da8w", "runtime.attention=plain")
    place = tmp_path_factory.mktemp("cpp") / "app"
    done = api.deploy(bundle, "cpp", place, name="chat", build=True)
    assert done.built is not None
    assert "64 of 64 tokens as in Python" in done.built
    assert any("100% tests passed" in line for line in done.built)
    return place


def call(project: Path, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    program = project / "build/native/chat"
    return subprocess.run([program, *words], input=typed, capture_output=True, text=True)


def test_the_program_answers_and_refuses(built: Path) -> None:
    said = call(built, "Hello", "--max-tokens", "5", "--stats")
    assert said.returncode == 0
    assert "0 from the cache" in said.stderr
    turns = call(
        built, "--max-tokens", "4", "--stats", typed="Hello\nAgain\n/reset\nHello\n/exit\n"
    )
    assert turns.returncode == 0
    first, second, third = turns.stderr.splitlines()
    assert ", 0 from the cache" in first
    assert ", 0 from the cache" not in second
    assert first.split()[0] == third.split()[0]
    drawn = [
        call(built, "--ids", "5 6 7", "--temperature", "1", "--top-p", "0.9", "--seed", seed).stdout
        for seed in ("1", "1", "2")
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    for words, code, what in (
        (["--bogus"], 2, "no option --bogus"), (["--top-p", "7", "x"], 2, "--top-p cannot be '7'"),
        (["--ids", "99999"], 1, "has no embedding"), (["word " * 9999], 1, "leaves no room"),
        (["--model", "/none", "x"], 1, "no file /none"),
    ):  # fmt: skip
        failed = call(built, *words)
        assert failed.returncode == code
        assert what in failed.stderr


def test_a_program_of_other_weights_fails_the_test(built: Path, tmp_path: Path) -> None:
    """The comparison with Python's answer can fail."""
    answers = (built / "tests/answers.txt").read_text().split()
    changed = tmp_path / "answers.txt"
    count = int(answers[1])
    prompt, tokens = answers[: 2 + count], answers[2 + count :]
    changed.write_text(" ".join([*prompt, *reversed(tokens)]))
    check = subprocess.run(
        [built / "build/native/check", built / "model", changed], capture_output=True, text=True
    )
    assert check.returncode == 1
    assert "an answer differs" in check.stderr


def test_an_installed_folder_runs_where_it_is_moved(built: Path, tmp_path: Path) -> None:
    subprocess.run(
        ["cmake", "--install", built / "build/native", "--prefix", tmp_path / "made"],
        check=True, capture_output=True,
    )  # fmt: skip
    moved = (tmp_path / "made").rename(tmp_path / "moved")
    said = subprocess.run([moved / "bin/chat", "Hello", "--max-tokens", "3"], capture_output=True)
    assert said.returncode == 0


def trained(pre: Any, norm: Any, decoder: Any, **model: Any) -> Tokenizer:
    made = Tokenizer(models.BPE(**model))
    if norm is not None:
        made.normalizer = norm
    if pre is not None:
        made.pre_tokenizer = pre
    made.decoder = decoder
    whole = bool(model.get("byte_fallback"))
    made.train_from_iterator(
        english().splitlines(),
        BpeTrainer(
            vocab_size=900, show_progress=False, max_token_length=8,
            special_tokens=["<s>", "<unk>"],
            initial_alphabet=[] if whole else pre_tokenizers.ByteLevel.alphabet(),
        ),
    )  # fmt: skip
    made.add_tokens(list(ADDED))
    return made


def kinds() -> dict[str, Callable[[], Tokenizer]]:
    names = ("gpt-2", "smollm", "llama-bpe", "qwen2", "gpt-4o", "tekken", "qwen35", "deepseek-llm",
             "deepseek-coder", "deepseek-v3")  # fmt: skip
    sp: dict[str, Any] = {"byte_fallback": True, "unk_token": "<unk>", "fuse_unk": True}
    found: dict[str, Callable[[], Tokenizer]] = {
        name: partial(trained, PRE_TOKENIZERS[name](), None, decoders.ByteLevel()) for name in names
    }
    found["llama2"] = lambda: trained(
        None, normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
        SPACES, **sp,
    )  # fmt: skip
    found["gemma"] = lambda: trained(
        pre_tokenizers.Split(" ", "merged_with_previous"),
        normalizers.Replace(" ", "▁"),
        SPACES,
        **sp,
    )
    for scheme in ("first", "always", "never"):
        pre = pre_tokenizers.Metaspace(prepend_scheme=scheme)
        found[f"metaspace_{scheme}"] = partial(trained, pre, None, decoders.Metaspace(), **sp)
    found["removed"] = lambda: trained(
        pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(r"[a-z]+?(?=[a-z]{2}+)|\S++"), "removed", invert=True),
            pre_tokenizers.Split(Regex(r"\d"), "merged_with_next"),
            pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False),
        ]), None, decoders.ByteLevel(), ignore_merges=True,
    )  # fmt: skip
    return found


@pytest.mark.parametrize("kind", kinds())
def test_ids_are_those_of_the_library(kind: str, built: Path, tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    kinds()[kind]().save(str(file))
    nfc = kind == "qwen2"
    (tmp_path / "tokenizer.table").write_text(tokenizer_table(file, nfc=nfc))
    expected = TextTokenizer(file, bos_id=None, eos_ids=(), add_bos=False, nfc=nfc)
    draw = random.Random(kind)
    parts = [*"ab AB  \n\t\r'srtT0159.,!?-_/<>|",
             *"é日한각\u1100\u1161\u11a8\u0301\u0323Åỹſ😀\u00a0▁",
             "<|a|>", "<m>", "<s>", "don", " the"]  # fmt: skip
    texts = ["".join(draw.choices(parts, k=draw.randint(0, 30))) for _ in range(400)]
    lines = [
        " ".join(["text", hexed(text), *map(str, expected.encode(text, raw=False))])
        for text in (english()[:3000], " " * 300, *texts)
    ]
    (tmp_path / "texts.txt").write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [built / "build/native/check", tmp_path, tmp_path / "texts.txt"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.release  # its kernels compute in tests/unit/stages/test_arm_kernels.py
def test_the_arm_program_gives_the_same_tokens(export: Callable[..., Path], tmp_path: Path) -> None:
    require("cmake", "make", "aarch64-linux-gnu-g++", "qemu-aarch64")
    bundle = export("backend=xnnpack", "quant=8da8w", "runtime.attention=plain")
    try:
        done = api.deploy(
            bundle, "cpp", tmp_path / "app", options={"processor": "aarch64"}, build=True
        )
    except MissingDependencyError as error:
        pytest.skip(str(error))
    assert done.built is not None
    assert "16 of 16 tokens as in Python" in done.built


def test_a_failed_build_says_what_and_where(built: Path, tmp_path: Path) -> None:
    broken = tmp_path / "app"
    shutil.copytree(built, broken, ignore=shutil.ignore_patterns("build"))
    (broken / "src/chat.cpp").write_text("int main( { }\n")
    from llm_export.deploy.cpp.build import build_project

    with pytest.raises(LlmExportError, match=r"'cmake --build .*error:") as failed:
        build_project(broken)
    assert failed.value.where == str(broken)
    path = os.environ["PATH"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(MissingDependencyError, match="no cmake here"):
            build_project(broken)
    assert os.environ["PATH"] == path
