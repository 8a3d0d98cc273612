"""Programs of other exporters (tests/foreign): what works, and what is said where not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hub_server import hub_server

from llm_export.errors import BundleError
from runtime_py import LLM, ArgumentError, BundleRuntimeError
from runtime_py.bundle import Bundle
from runtime_py.engines import opener
from runtime_py.foreign import is_foreign
from runtime_py.foreign.facts import Shaped, _entry
from runtime_py.foreign.find import one_program
from runtime_py.foreign.hub import is_hub_id
from runtime_py.server import Settings
from runtime_py.server.loading import Loading

REAL = Path(__file__).parents[2] / "foreign"
HF = REAL / "hf"
PROMPT = [10, 50, 60, 70, 33, 44, 5, 9]
EXPECTED = json.loads((REAL / "expected.json").read_text("utf-8"))
WORKS = ("export_llm", "optimum", "optimum_static", "transformers")
TOKENS, LOGITS = Shaped("int64", (1, 63)), Shaped("float32", (1, 304))
POSITION, CONSTANTS = Shaped("int64", (1,)), {"get_max_seq_len": 64}


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """A program of a maker and its tokenizer in one folder, as apps keep them."""

    def make(maker: str, *left_out: str) -> Path:
        shutil.copytree(REAL / maker, tmp_path / maker)
        for file in HF.iterdir():
            if file.name not in left_out:
                shutil.copy(file, tmp_path / maker)
        return tmp_path / maker

    return make


def answer(llm: LLM, prompt: list[int] = PROMPT, count: int = 24) -> list[int]:
    return llm.generate(prompt, max_new_tokens=count, temperature=0, ignore_eos=True).tokens


def printed(path: Path, **given: Any) -> str:
    """What chat prints for "hello"."""
    with LLM.load(path, **given) as llm:
        text = llm.chat("hello", max_new_tokens=4).text
    return "".join(c for c in text if c.isprintable() or c in "\n\t") + "\n"


def test_a_server_loads_a_program_with_a_tokenizer() -> None:
    loading = Loading(REAL / WORKS[0], Settings(tokenizer=str(HF)))
    loading.open_local()
    with loading() as llm:
        assert isinstance(llm, LLM)
        assert answer(llm, count=2) == EXPECTED[:2]


@pytest.mark.parametrize("maker", WORKS)
def test_the_tokens_are_those_of_transformers(maker: str) -> None:
    with LLM.load(REAL / maker, tokenizer=HF) as llm:
        assert answer(llm) == EXPECTED
        # Goes back in the cache, and on.
        assert answer(llm, PROMPT[:5], 4) != EXPECTED[:4]
        assert answer(llm, [*PROMPT, *EXPECTED[:10]], 10) == EXPECTED[10:20]
        assert llm.score(PROMPT)[0].logprob < 0
        assert "of another exporter, chat" in repr(llm)
        with llm.session() as session:
            assert session.send("Hi", max_new_tokens=3).tokens
            assert len(session.messages) == 2


def test_a_folder_with_a_tokenizer_is_enough(folder: Callable[..., Path]) -> None:
    with LLM.load(folder("optimum")) as llm:
        assert answer(llm) == EXPECTED
        assert llm.bundle.manifest["tokenizer"] == {
            "bos_id": 0, "eos_ids": [3], "add_bos": False,
            "special_tokens": {"bos_token": "<s>", "eos_token": "<|im_end|>"},
        }  # fmt: skip
        assert llm.chat("hello", max_new_tokens=2).stats.prompt_tokens > 5


def test_a_file_and_its_tokenizer_are_enough(folder: Callable[..., Path]) -> None:
    file = folder("export_llm") / "model.pte"
    for given in (None, HF, HF / "tokenizer.json"):
        with LLM.load(file, tokenizer=given) as llm:
            assert answer(llm, count=4) == EXPECTED[:4]


@pytest.mark.slow
def test_the_command_line_takes_them(cli: Callable[..., Any], folder: Callable[..., Path]) -> None:
    words = ("--message", "hello", "--max-new-tokens", "4")
    found = cli("chat", str(REAL / "export_llm"), "--tokenizer", str(HF), *words)
    assert (found.returncode, found.stdout) == (0, printed(folder("export_llm"))), found.stderr


def test_generation_config_sets_the_defaults(folder: Callable[..., Path]) -> None:
    path = folder("export_llm", "generation_config.json")
    said = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": None,
            "eos_token_id": [3, 1], "max_new_tokens": 9}  # fmt: skip
    (path / "generation_config.json").write_text(json.dumps(said), encoding="utf-8")
    with LLM.load(path) as llm:
        assert (llm.defaults.temperature, llm.defaults.top_p, llm.defaults.top_k) == (0.6, 0.9, 0)
        assert llm.tokenizer.eos_ids == {3, 1}


@pytest.mark.parametrize("place", ["chat_template.json", "tokenizer_config.json"])
def test_chat_templates_are_found_where_they_lie(folder: Callable[..., Path], place: str) -> None:
    path = folder("export_llm", "chat_template.jinja")
    held = json.loads((path / place).read_text("utf-8")) if (path / place).is_file() else {}
    template: Any = "{{ messages[0].content }}"
    if place == "tokenizer_config.json":
        template = [{"name": "default", "template": template}, {"name": "tool_use", "template": ""}]
    (path / place).write_text(json.dumps({**held, "chat_template": template}), encoding="utf-8")
    with LLM.load(path) as llm:
        assert llm.template is not None
        assert llm.template.render([{"role": "user", "content": "Hi"}]) == "Hi"
        assert (llm.tool_use_template is None) == (place == "chat_template.json")


def test_a_base_model_says_so(folder: Callable[..., Path]) -> None:
    with LLM.load(folder("export_llm", "chat_template.jinja")) as llm:
        assert llm.generate("hello", max_new_tokens=2).tokens
        with pytest.raises(BundleRuntimeError, match=r"the bundle has no chat template"):
            llm.chat("hello")


def test_a_missing_tokenizer_is_told(folder: Callable[..., Path]) -> None:
    with pytest.raises(BundleRuntimeError, match=r"no tokenizer.json beside the program") as info:
        LLM.load(REAL / "optimum")
    assert info.value.fix is not None
    assert "tokenizer=FOLDER" in info.value.fix
    path = folder("export_llm", "tokenizer.json")
    (path / "tokenizer.model").write_bytes(b"sentencepiece")
    with pytest.raises(
        BundleRuntimeError, match=r"tokenizer\.model is of another format\n.*\n.*Auto"
    ):
        LLM.load(path)
    with pytest.raises(BundleRuntimeError, match=r"there is no such tokenizer"):
        LLM.load(path, tokenizer=path / "none")
    with pytest.raises(BundleRuntimeError, match=r"tokenizer\.model is of another format"):
        LLM.load(path, tokenizer=path / "tokenizer.model")


def test_a_tokenizer_of_another_model_is_told(folder: Callable[..., Path]) -> None:
    path = folder("export_llm")
    body = json.loads((path / "tokenizer.json").read_text("utf-8"))
    body["model"]["vocab"]["longword"] = 400
    (path / "tokenizer.json").write_text(json.dumps(body), encoding="utf-8")
    with pytest.raises(
        BundleRuntimeError, match=r"ids up to 400; the program has 304 tokens: they"
    ):
        LLM.load(path)


def test_damaged_files_are_told(folder: Callable[..., Path]) -> None:
    path = folder("export_llm")
    for name, data, said in (
        ("generation_config.json", "{", "generation_config.json cannot be read"),
        ("tokenizer_config.json", "[]", "tokenizer_config.json is no JSON object"),
        ("tokenizer.json", "{}", "the tokenizer cannot be read"),
        ("model.pte", "nonsense", "the program is damaged"),
    ):
        (path / name).write_text(data, encoding="utf-8")
        with pytest.raises(BundleRuntimeError, match=said):
            LLM.load(path)
        (path / name).unlink()
        source = HF / name
        if source.is_file():
            shutil.copy(source, path)


def test_a_folder_must_say_which_program(tmp_path: Path) -> None:
    assert one_program(["a/model.pte", "b.pte"], "") == "a/model.pte"
    assert one_program(["x/b.pte"], "") == "x/b.pte"
    with pytest.raises(BundleRuntimeError, match=r"there are 2 programs: a.pte, b.pte"):
        one_program(["b.pte", "a.pte"], "")
    with pytest.raises(BundleRuntimeError, match=r"prefill.pte and decode.pte, which hand the KV"):
        LLM.load(REAL / "transformers_generation", tokenizer=HF)
    with pytest.raises(BundleRuntimeError, match=r"neither manifest.json nor a .pte file"):
        one_program([], "")
    for name in ("a.ptd", "b.ptd"):
        shutil.copy(REAL / "export_llm" / "model.pte", tmp_path)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(BundleRuntimeError, match=r"there are 2 files of weights: a.ptd, b.ptd"):
        LLM.load(tmp_path, tokenizer=HF)


def test_caches_as_inputs_are_told() -> None:
    with pytest.raises(BundleRuntimeError, match=r"method forward takes int64\[1, 1\], int64\[1"):
        LLM.load(REAL / "transformers_generation" / "decode.pte", tokenizer=HF)


@pytest.mark.parametrize(
    ("takes", "returns", "constants", "said"),
    [
        ([TOKENS, POSITION], [LOGITS], {}, "has no method get_max_seq_len"),
        ([Shaped("float32", (1, 8, 16)), POSITION], [LOGITS], CONSTANTS, r"takes float32\[1, 8"),
        ([], [LOGITS], CONSTANTS, "takes no tensor, where tokens"),
        ([TOKENS, POSITION], [Shaped("float32", (1,))], CONSTANTS, "it is no language model"),
        ([TOKENS, POSITION], [LOGITS, LOGITS], CONSTANTS, "it hands out its caches"),
        ([TOKENS, Shaped("float32", (1, 1, 63, 63))], [LOGITS], CONSTANTS, "beside tokens only a"),
    ],
)
def test_programs_that_cannot_be_run_say_why(
    takes: list[Shaped], returns: list[Shaped], constants: dict[str, Any], said: str
) -> None:
    with pytest.raises(BundleRuntimeError, match=said):
        _entry(Path("model.pte"), takes, returns, constants)


def test_what_a_program_says_of_itself() -> None:
    both = {"get_max_context_len": 128, "get_max_seq_len": 64, "enable_dynamic_shape": True}
    found = _entry(Path("x"), [TOKENS, POSITION], [LOGITS], both)
    assert (found["context_length"], found["prefill_length"]) == (128, 63)
    assert (found["dynamic_shapes"], found["logits"]) == (True, "last")
    one = [Shaped("int32", (1, 1)), Shaped("int32", (1,))]
    found = _entry(Path("x"), one, [Shaped("float16", (1, 1, 304))], CONSTANTS)
    assert (found["token_dtype"], found["logits"], found["dynamic_shapes"]) == (
        "int32", "all", False,
    )  # fmt: skip


def test_a_manifest_of_another_program_is_told() -> None:
    with LLM.load(REAL / "transformers", tokenizer=HF) as llm:
        facts = {**llm.bundle.manifest["program"], "vocab_size": 999}
        bundle = type(llm.bundle)(llm.bundle.path, {**llm.bundle.manifest, "program": facts})
    with pytest.raises(BundleRuntimeError, match=r"vocab_size is 304, the manifest has 999"):
        opener("executorch")(bundle, None, None)


def test_bundles_keep_their_tokenizer(portable_bundle: Path) -> None:
    assert not is_foreign(portable_bundle)
    for given in (portable_bundle, Bundle.open(portable_bundle)):
        with pytest.raises(ArgumentError, match=r"this is a bundle, which has its own"):
            LLM.load(given, tokenizer=HF)


def test_ids_of_the_hub_are_told_from_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()
    for word in ("org/name", "org/name@v1", "org/name/sub/model.pte"):
        assert is_hub_id(word)
    for word in ("outputs/name", "name", "/org/name", "./org/name", "a/b/c", "", "a/../b.pte"):
        assert not is_hub_id(word)


_CALLS = """
import contextlib, io, json, sys
from llm_export.cli.main import main
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, \\
            contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(words)
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


def chats(words: Sequence[str], *names: str, **given: str) -> list[tuple[int, str, str]]:
    """Exit code and output of ``llm-export chat`` with each of these, all in a new process: the
    hub's address is read when its library is imported."""
    calls = json.dumps([["chat", name, *words] for name in names])
    done = subprocess.run(
        [sys.executable, "-c", _CALLS, calls], env={**os.environ, **given}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_a_repository_of_the_hub_is_loaded(tmp_path: Path) -> None:
    files = {file.name: file.read_bytes() for file in HF.iterdir()}
    program = (REAL / "export_llm" / "model.pte").read_bytes()
    words = ("--message", "hello", "--max-new-tokens", "4")
    with hub_server() as hub:
        hub.commit("org/one", {**files, "xnnpack/model_8da8w.pte": program})
        two = {**files, "xnnpack/a.pte": program, "coreml/b.pte": b"other"}
        hub.commit("org/two", two)
        given = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf"),
                 "HF_HUB_OFFLINE": "0"}  # fmt: skip
        expected = printed(REAL / "export_llm", tokenizer=HF)
        *loaded, several, none = chats(
            words, "org/one", "org/two/xnnpack/a.pte", "org/two", "org/none", **given
        )
        for code, said, failed in loaded:
            assert (code, said) == (0, expected), failed
        assert not any("coreml" in request for request in hub.requests)
        assert "there are 2 programs" in several[2]
        assert "neither here nor on the hub" in none[2]
    ((code, said, failed),) = chats(words, "org/one", **{**given, "HF_HUB_OFFLINE": "1"})
    assert (code, said) == (0, expected), failed


def test_the_api_raises_its_own_error() -> None:
    from llm_export import api

    with pytest.raises(BundleError, match=r"no tokenizer.json"):
        api.load(REAL / "optimum")
