"""The Kotlin of the Android app, compiled, and its plain part run beside ``runtime_py``."""

from __future__ import annotations

import datetime
import hashlib
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from chat_templates import TEMPLATES
from kotlin_tools import b64, compile_app, jars, of_b64, run_driver

from llm_export import api
from llm_export.bundle.chat_format import ChatTurns, RoleFormat, chat_entry
from runtime_py.chat_template import ChatTemplate
from runtime_py.stop_strings import StopStrings

pytestmark = pytest.mark.slow
PACKAGE = "org.acme.talk"
SPECIALS = {"bos_token": "<s>", "eos_token": "</s>"}
NOW = datetime.datetime(2026, 11, 29)
# Unicode's white space, Jinja's, and texts that templates look for.
BITS = [
    "a", "é", "😀", "\u0301", "\n", "\r\n", "\t", "\x1c", "\x1f", "\x85", "\xa0", "\u2028",
    "\u200b", "\u3000", "<think>", "</think>", "<b>'\"&", "{{ x }}", "$x ${y}", "\\n", "<|im_end|>",
]  # fmt: skip


@pytest.fixture(scope="module")
def classes(quantized_bundle: Path, once: Callable[..., Path]) -> Path:
    jars()

    def make(out: Path) -> None:
        project = out.with_suffix(".project")
        api.deploy(quantized_bundle, "android", project, options={"package": PACKAGE})
        compile_app(project, PACKAGE, out)

    return once(make, "kotlin")


@pytest.fixture(scope="module")
def known() -> dict[str, tuple[ChatTurns, ChatTemplate]]:
    """The templates of published models that only put texts around messages."""
    found = {}
    for name, source in TEMPLATES.items():
        entry = chat_entry(source, SPECIALS, NOW)
        if entry is not None and entry.turns is not None:
            found[name] = (entry.turns, ChatTemplate(source, SPECIALS, now=lambda: NOW))
    assert len(found) >= 5
    return found


def _text(rng: random.Random) -> str:
    # Templates are known for texts of more than white space.
    return "".join(rng.choices(BITS, k=rng.randrange(6))) + "x" + "".join(rng.choices(BITS, k=2))


def _turns(turns: ChatTurns) -> list[str]:
    roles = ",".join(
        f"{name}:{b64(role.prefix)}:{b64(role.suffix)}" for name, role in turns.roles.items()
    )
    flags = (str(flag).lower() for flag in (turns.trims, turns.drops_reasoning))
    return [b64(turns.start), b64(turns.generation_prompt), *flags, roles]


def _conversation(rng: random.Random, system: bool) -> list[Mapping[str, str]]:
    roles = ["system"] * system + ["user", "assistant"] * rng.randrange(3) + ["user"]
    return [{"role": role, "content": _text(rng)} for role in roles]


def test_prompts_are_those_of_the_templates(
    classes: Path, known: dict[str, tuple[ChatTurns, ChatTemplate]]
) -> None:
    rng = random.Random(1)
    commands, expected = [], []
    for turns, template in known.values():
        for _ in range(60):
            messages = _conversation(rng, "system" in turns.roles and rng.random() < 0.5)
            if any("</think>" in m["content"] for m in messages) and not turns.drops_reasoning:
                # Whether the template does something to it after the last question is its own.
                messages = [
                    {**m, "content": m["content"].replace("</think>", "")} for m in messages
                ]
            said = ",".join(f"{m['role']}:{b64(m['content'])}" for m in messages)
            commands.append(["render", *_turns(turns), said])
            expected.append((turns.render(messages), template.render(messages), messages))
    answers = [of_b64(line) for line in run_driver(classes, commands)]
    same = 0
    for answer, (by_turns, by_template, messages) in zip(answers, expected, strict=True):
        assert answer == by_turns, messages
        same += answer == by_template
    assert same / len(answers) > 0.9
    assert not [
        m for a, (_, t, m) in zip(answers, expected, strict=True)
        if a != t and not any("think" in each["content"] for each in m)
    ]  # fmt: skip


def test_every_white_space_is_trimmed_as_jinja_does(classes: Path) -> None:
    turns = ChatTurns("", {"user": RoleFormat("", "")}, "", trims=True)
    texts = [f"{chr(i)}x{chr(i)}" for i in range(0x3100) if not 0xD800 <= i < 0xE000]
    lines = run_driver(classes, (["render", *_turns(turns), f"user:{b64(t)}"] for t in texts))
    assert [of_b64(line) for line in lines] == [text.strip() for text in texts]


def test_answers_end_as_in_python(classes: Path) -> None:
    rng = random.Random(2)
    stops = ["<|im_end|>", "\nuser:", "é😀"]
    pieces_of = ["a", "<|", "im", "_end|>", "<|im_end|>", "\n", "us", "er:", "é", "😀", "<", ""]
    commands, expected = [], []
    for _ in range(400):
        pieces = rng.choices(pieces_of, k=rng.randrange(1, 9))
        commands.append(["answer", b64("<|im_end|>"), ",".join(map(b64, stops)), "7",
                         ",".join(map(b64, pieces))])  # fmt: skip
        expected.append(_ended(pieces, stops))
    for line, wanted, command in zip(
        run_driver(classes, commands), expected, commands, strict=True
    ):
        text, raw, token, end, tokens = line.split(" ")
        got = (of_b64(text), token if token == "-" else of_b64(token), end)
        assert got == wanted, command
        assert of_b64(raw).startswith(of_b64(text))
        assert int(tokens) <= 8


def _ended(pieces: Sequence[str], stops: Sequence[str]) -> tuple[str, str, str]:
    """(shown text, turn token if it was the last piece, why it ended), by ``StopStrings``."""
    held, text = StopStrings(stops), ""
    for at, piece in enumerate(pieces):
        if piece == "<|im_end|>":
            last = at == len(pieces) - 1
            return text + held.flush(), piece if last else "-", "TURN"
        out, found = held.push(piece)
        text += out
        if found:
            return text, "-", "STOP_STRING"
    return text + held.flush(), "-", "LENGTH" if len(pieces) >= 7 else "-"


def test_a_conversation_feeds_the_prompt_once(
    classes: Path, known: dict[str, tuple[ChatTurns, ChatTemplate]]
) -> None:
    """A runner that is given the feeds holds the template's prompt at each turn."""
    rng = random.Random(3)
    commands, scripts = [], []
    for turns, _ in known.values():
        for context in (60, 300, 4000):
            script = []
            for _ in range(8):
                answer = "".join(rng.choices(["Yes. ", "é😀", "no\n", "$"], k=rng.randrange(0, 9)))
                ended = rng.random() < 0.8
                script.append((_text(rng).replace("think", "thin"), answer, ended))
            commands.append(["chat", *_turns(turns), str(context), "64", _script(script, turns)])
            scripts.append((turns, context, script))
    continued = 0
    for line, (turns, context, script) in zip(run_driver(classes, commands), scripts, strict=True):
        continued += _follow(line.split(","), turns, context, script)
    assert continued > 20


def _end_of(turns: ChatTurns) -> str:
    """A turn token like those of models: what the assistant's turn ends with, or none of it."""
    return turns.roles["assistant"].suffix.strip() or "</s>"


def _script(script: Sequence[tuple[str, str, bool]], turns: ChatTurns) -> str:
    steps = []
    for question, answer, ended in script:
        token = b64(_end_of(turns)) if ended else "-"
        steps += [f"ask:{b64(question)}", f"answer:{b64(answer)}:{b64(answer)}:{token}"]
    return ",".join(steps)


def _follow(
    said: list[str], turns: ChatTurns, context: int, script: Sequence[tuple[str, str, bool]]
) -> int:
    cache, position, continued, whole = "", 0, 0, False
    messages: list[Mapping[str, str]] = []
    for question, answer, ended in script:
        feed = said.pop(0)
        prompt, reset, longest, forgotten = feed.split(":")
        messages.append({"role": "user", "content": question})
        kept = messages[int(forgotten) :]
        kept = [m for i, m in enumerate(kept) if _answered(kept, i)]
        if reset == "true":
            cache, position = "", 0
        else:
            continued += 1
            assert whole, "the last token of a broken turn is not in the cache"
        cache += of_b64(prompt)
        assert cache == turns.render(kept)
        assert 1 <= int(longest) <= 64
        assert len(kept) == 1 or _tokens(cache) + int(longest) <= context
        position += _tokens(of_b64(prompt)) + _tokens(answer)
        assert int(said.pop(0)) == position
        # The runner's last token, here the turn token, is not in its cache.
        cache, whole = cache + answer, ended
        messages.append({"role": "assistant", "content": answer})
    assert said == []
    return continued


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // 4)


def _answered(kept: Sequence[Mapping[str, str]], at: int) -> bool:
    answer = at + (kept[at]["role"] == "user")
    return answer >= len(kept) or bool(kept[answer]["content"].strip())


def test_statistics_and_errors_are_read(classes: Path) -> None:
    said = ('{"prefill_token_per_sec":812.5,"decode_token_per_sec":1.5e+01,"prompt_tokens":12,'
            '"generated_tokens":30,"model_load_start_ms":1}')  # fmt: skip
    lines = run_driver(
        classes, [["stats", b64(said)], ["stats", b64("{}")], ["error", "20"], ["error", "99"]]
    )
    good, none, missing, unknown = map(of_b64, lines)
    assert "prompt=12, generated=30" in good
    assert "decodePerSecond=15.0" in good
    assert none == "null"
    assert missing == "Error 0x14: the app's ExecuTorch lacks an operator of the program."
    assert unknown == "Error 0x63: ExecuTorch failed."


# -- downloads ------------------------------------------------------------------------------

CONTENT = {"model.pte": random.Random(4).randbytes(300_000), "tokenizer.json": b'{"a": 1}'}


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """(address, the requests): /good/ has ranges, /plain/ has none, /cut/ ends early, /bad/ sends
    other bytes, /long/ sends more."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, kind, name = self.path.split("/")
            requests.append(f"{kind} {name} {self.headers.get('Range', '')}".strip())
            if kind == "none":
                self.send_error(404)
                return
            body, start = CONTENT[name], 0
            if kind == "bad":
                body = bytes(len(body))
            if kind == "long":
                body += b"x" * 100_000
            if "Range" in self.headers and kind == "good":
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            self.wfile.write(body[start:] if kind != "cut" else body[: len(body) // 2])

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}", requests
        served.shutdown()


def test_files_come_whole_or_not_at_all(
    classes: Path, server: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, requests = server
    files = ",".join(f"{n}:{len(c)}:{hashlib.sha256(c).hexdigest()}" for n, c in CONTENT.items())
    folder = "model-" + "-".join(hashlib.sha256(c).hexdigest()[:16] for c in CONTENT.values())

    def bring(name: str, kind: str, part: bytes | None = None) -> list[str]:
        place = tmp_path / name
        (place / "model-old").mkdir(parents=True)
        if part is not None:
            (place / folder).mkdir()
            (place / folder / "model.pte.part").write_bytes(part)
        return ["bring", b64(str(place)), b64(f"{address}/{kind}/"), files]

    model = CONTENT["model.pte"]
    lines = run_driver(classes, [
        bring("whole", "good"), bring("part", "good", model[:1000]),
        bring("no ranges", "plain", model[:1000]), bring("all", "good", model),
        bring("too much", "plain", model + b"x"),
        # Again: what is there is not asked for.
        ["bring", b64(str(tmp_path / "whole")), b64(f"{address}/none/"), files],
        bring("other part", "good", b"x" * 1000), bring("cut", "cut"), bring("bad", "bad"),
        bring("long", "long"), bring("none", "none"),
    ])  # fmt: skip
    said = [line.split(" ")[0] for line in lines]
    assert said == ["good"] * 6 + ["bad"] * 5
    for line in lines:
        if line.startswith("good"):
            place = Path(of_b64(line.split(" ")[1]))
            assert {f.name: f.read_bytes() for f in place.iterdir()} == CONTENT
            assert [f.name for f in place.parent.iterdir()] == [folder]
    assert "good model.pte bytes=1000-" in requests
    whys = [of_b64(line.split(" ")[1]) for line in lines if line.startswith("bad")]
    damaged = "model.pte is damaged: its SHA-256 is another one."
    assert whys[0] == whys[2] == whys[3] == damaged
    assert whys[4] == "The server answers 404 for model.pte."
    for name in ("bad", "long", "other part"):
        assert list((tmp_path / name / folder).iterdir()) == [], "it would be taken up again"
    # What came of a broken transfer stays, to go on from there.
    assert (tmp_path / "cut" / folder / "model.pte.part").stat().st_size == len(model) // 2
