"""Images in prompts, conversations, sessions and requests, with the bundle of a tiny model."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import see_bundles
import torch
from images import encoded, picture
from see_bundles import EACH, IMAGE, greedy, write_manifest
from server_tools import asked, error_of

from llm_export import api
from llm_export.cli.main import main
from llm_export.errors import BundleError
from runtime_py import LLM
from runtime_py.errors import ArgumentError, BundleRuntimeError, Cancelled
from runtime_py.images import opened_image
from runtime_py.server.serving import Serving
from runtime_py.server.settings import Settings
from runtime_py.token_ids import FIRST_ROW
from runtime_py.vision.program import SeeingProgram
from runtime_py.vision.rows import Place, Rows


@pytest.fixture(scope="module")
def bundle(once: Callable[..., Path]) -> Path:
    return once(see_bundles.make, "bundle that sees")


@pytest.fixture
def llm(bundle: Path) -> Iterator[LLM]:
    with LLM.load(bundle) as found:
        yield found


def user(text: str, *images: Any) -> dict[str, Any]:
    parts = [{"type": "image", "image": each} for each in images]
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}


def url(image: Any) -> str:
    return "data:image/png;base64," + base64.b64encode(encoded(image)).decode()


def plain(ids: list[int]) -> list[int]:
    return [IMAGE if each >= FIRST_ROW else each for each in ids]


def tiles(llm: LLM, *images: Any) -> list[torch.Tensor]:
    made = [llm._prompts.processor(opened_image(each)) for each in images]  # type: ignore[attr-defined]
    return [torch.from_numpy(tile.pixels) for each in made for tile in each.tiles]


def test_answers_are_the_models(llm: LLM) -> None:
    first, second = picture(40, 30), picture(20, 60, 2, "RGBA")
    messages = [user("What?", first)]
    ids = llm.prompt_ids(messages)
    assert len([each for each in ids if each >= FIRST_ROW]) == 5 * EACH
    assert llm.count_tokens(messages) == len(ids)
    answer = llm.chat(messages)
    assert answer.tokens == greedy(plain(ids), tiles(llm, first), 8)
    assert llm.engine.images.encodings == 5  # type: ignore[attr-defined]
    # A second image in the next turn: the first is neither encoded nor fed again.
    messages += [answer.message, user("And this?", second)]
    ids = llm.prompt_ids(messages)
    again = llm.chat(messages, repetition_penalty=1.0)
    assert again.stats.cached_tokens > 5 * EACH
    assert again.tokens == greedy(plain(ids), tiles(llm, first, second), 8)
    assert llm.engine.images.encodings == 8  # type: ignore[attr-defined]
    assert llm.chat(messages, repetition_penalty=1.3).tokens
    low = user("What?", first)
    low["content"][0]["detail"] = "low"
    assert len([each for each in llm.prompt_ids([low]) if each >= FIRST_ROW]) == EACH


def test_text_alone_is_as_in_any_bundle(llm: LLM) -> None:
    # The template writes parts only: a content that is a text becomes one.
    ids = llm.prompt_ids([{"role": "user", "content": "Hello"}])
    assert llm.tokenizer.decode(ids, special=True) == "User: Hello<end_of_utterance>\nAssistant:"
    assert llm.chat("Hello").tokens == greedy(ids, [], 8)


def test_forms_of_parts_and_raw_prompts(llm: LLM, tmp_path: Path) -> None:
    image = picture(12, 12)
    file = tmp_path / "a.png"
    file.write_bytes(encoded(image))
    wanted = llm.prompt_ids([user("x", image)])
    text = {"type": "text", "text": "x"}
    for part in (
        {"type": "image", "image": str(file)}, {"type": "image", "path": file},
        {"type": "image", "image": io.BytesIO(encoded(image))},
        {"type": "image", "url": url(image)}, {"type": "image", "image": np.asarray(image)},
        {"type": "image_url", "image_url": {"url": url(image), "detail": "high"}},
        {"type": "input_image", "image_url": url(image)},
        {"type": "image", "base64": base64.b64encode(encoded(image)).decode()},
    ):  # fmt: skip
        assert llm.prompt_ids([{"role": "user", "content": [part, text]}]) == wanted
    raw = llm.prompt_ids("a <image> b <image>", images=[image, image])
    assert plain(raw).count(IMAGE) == 2 * plain(wanted).count(IMAGE)
    assert llm.generate("a <image> b <image>", images=[image, file]).tokens == greedy(
        plain(raw), tiles(llm, image, image), 8
    )


def test_what_is_refused(llm: LLM) -> None:
    image = picture(9, 9)
    with pytest.raises(ArgumentError, match="has 1 marks <image> for 2 images"):
        llm.generate("a <image>", images=[image, image])
    with pytest.raises(ArgumentError, match="2 marks <image> for 1 image"):
        llm.chat([user("what is <image>?", image)])
    with pytest.raises(ArgumentError, match="has no image"):
        llm.chat([{"role": "user", "content": [{"type": "image"}]}])
    with pytest.raises(ArgumentError, match="detail of an image must be"):
        llm.chat([{"role": "user", "content": [{"type": "image", "image": image, "detail": 3}]}])
    with pytest.raises(ArgumentError, match="belong into its messages"):
        llm.stream([user("x")], images=[image])
    with pytest.raises(ArgumentError, match="not token ids"):
        llm.generate([1, 2], images=[image])
    with pytest.raises(ArgumentError, match="no log-probabilities"):
        llm.score(llm.prompt_ids([user("x", image)]))
    with pytest.raises(BundleRuntimeError, match="an image that is not in memory"):
        llm.generate([1, FIRST_ROW + 7])
    with pytest.raises(BundleRuntimeError, match="has no embedding"):
        llm.generate([1, 999])


def test_sessions(llm: LLM) -> None:
    image = picture(30, 10)
    with llm.session() as one:
        first = one.send(user("a", image))
        json.dumps(one.messages)
        kept = one.messages[0]["content"][0]["image_url"]["url"]
        assert np.array_equal(np.asarray(opened_image(kept)), np.asarray(image))
        with one.fork() as other:
            encodings = llm.engine.images.encodings  # type: ignore[attr-defined]
            assert other.send("b").tokens == one.send("b").tokens
            assert llm.engine.images.encodings == encodings  # type: ignore[attr-defined]
        tokens = one.tokens
        one.truncate(12)
        assert one.generate(tokens).tokens
    assert first.tokens == llm.chat([user("a", image)]).tokens


def test_ids_are_those_of_every_process(bundle: Path, llm: LLM) -> None:
    image = picture(30, 10)
    with LLM.load(bundle) as other:
        other.prompt_ids([user("first another", picture(7, 7, 5))])
        assert other.prompt_ids([user("a", image)]) == llm.prompt_ids([user("a", image)])


def test_rows_that_are_forgotten() -> None:
    from runtime_py.images import Tile

    calls = []

    def encode(pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        calls.append(pixels)
        return (torch.ones(2, 4) * pixels.flatten()[0],)

    rows = Rows(encode, most_bytes=40)
    one, two = (Tile(np.full((1, 3, 2, 2), v, np.float32), 2) for v in (1, 2))
    first, second = rows.add(one), rows.add(two)
    assert len({*first, *second}) == 4
    assert rows.of(first[1])[1] == 1
    assert float(rows.of(second[0])[0][0][0, 0]) == 2
    assert not rows.known(first)
    with pytest.raises(BundleRuntimeError, match="not in memory"):
        rows.of(first[0])
    assert rows.add(one) == first
    assert rows.of(first[0])[1] == 0
    assert len(calls) == 3
    odd = rows.add(Tile(np.zeros((1, 3, 2, 2), np.float32), 3))
    with pytest.raises(BundleRuntimeError, match="returns 2 rows of a tile, the prompt has 3"):
        rows.of(odd[0])


def test_tiles_that_are_never_fed_do_not_stay() -> None:
    from runtime_py.images import Tile

    rows = Rows(lambda pixels: (torch.ones(2, 4),), most_pixels=120, most_rows=6)
    # Tiles are of 48 bytes and 2 rows.
    made = [Tile(np.full((1, 3, 2, 2), v, np.float32), 2) for v in range(5)]
    ids = [rows.add(each) for each in made[:3]]
    assert [rows.known(each) for each in ids] == [False, True, True]
    assert rows.add(made[0]) == ids[0]
    ids += [rows.add(each) for each in made[3:]]
    assert [rows.place(each[0]) is not None for each in ids] == [True, False, False, True, True]
    assert rows.add(made[1]) == ids[1]
    assert rows.of(ids[1][1])[1] == 1


def test_an_image_that_attends_to_itself_is_one_step() -> None:
    """However long it is, if the program takes so many tokens."""
    tall = range(FIRST_ROW, FIRST_ROW + 400)

    class Whole(SeeingProgram):
        prefill_length = 600

        def __init__(self) -> None:
            self.inputs, self.vocab_size, self.stopped = ("attend_until",), 300, None
            self.images = SimpleNamespace(  # type: ignore[assignment]
                place=lambda token: Place("a", token - FIRST_ROW, 400) if token in tall else None
            )
            self.fed: list[int] = []

        def step(self, tokens: Sequence[int], *, every: bool = False) -> torch.Tensor:
            self.fed.append(len(tokens))
            return torch.full((1, 1, 1), float(tokens[-1]))

    program = Whole()
    assert program.prefill([1, 2, *tall, 3]).item() == 3
    assert program.fed == [2, 400, 1]
    with pytest.raises(ArgumentError, match="token id 300 is not in the vocabulary"):
        program.prefill([300])
    program.stopped = threading.Event()
    program.stopped.set()
    with pytest.raises(Cancelled):
        program.prefill([1])


def test_many_images_are_refused_before_all_are_read(llm: LLM) -> None:
    several = [picture(40, 30, seed) for seed in range(40)]
    with pytest.raises(BundleRuntimeError, match=r"the images take .* tokens; the context has"):
        llm.chat([user("x", *several)])
    assert len(llm.engine.images._places) <= llm.engine.context_length + 5 * EACH  # type: ignore[attr-defined]


def test_a_model_of_text_refuses_images(portable_bundle: Path) -> None:
    with LLM.load(portable_bundle) as blind:
        assert not blind.sees
        for ask in (
            lambda: blind.chat([user("x", picture(3, 3))]),
            lambda: blind.generate("<image>", images=[picture(3, 3)]),
        ):
            with pytest.raises(BundleRuntimeError, match="reads text alone"):
                ask()


def test_bundles_that_do_not_fit(bundle: Path, tmp_path: Path) -> None:
    def copy(name: str, **settings: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for each in bundle.iterdir():
            (folder / each.name).write_bytes(each.read_bytes())
        if settings.pop("processor", None):
            (folder / "processor.json").write_text("[]")
        write_manifest(folder, **settings)
        return folder

    with pytest.raises(BundleRuntimeError, match="must be an object"):
        LLM.load(copy("a", processor=True))
    with pytest.raises(BundleRuntimeError, match="takes 'depth', which this runtime does not know"):
        LLM.load(copy("b", decoder_inputs=["depth"]))
    with pytest.raises(BundleRuntimeError, match="takes 2 tensors"):
        LLM.load(copy("c", decoder_inputs=["rope_positions"], grid=[2, 2]))
    with (
        LLM.load(copy("d", image_size=[32, 32])) as wrong,
        pytest.raises(BundleRuntimeError, match="vision_encoder"),
    ):
        wrong.chat([user("x", picture(9, 9))])


def test_requests(bundle: Path) -> None:
    server = Serving(Settings(), lambda: LLM.load(bundle))
    server.start()
    server.wait()
    try:
        assert asked(server, "GET", "/api/info").json()["sees"] is True
        part = {"type": "image_url", "image_url": {"url": url(picture(40, 30))}}
        messages = [{"role": "user", "content": [part, {"type": "text", "text": "What?"}]}]
        body = {"messages": messages, "max_tokens": 4}
        found = asked(server, "POST", "/v1/chat/completions", json=body).json()
        with LLM.load(bundle) as llm:
            assert found["usage"]["prompt_tokens"] == llm.count_tokens(messages)
            text = llm.chat(messages, max_new_tokens=4).text
        assert found["choices"][0]["message"]["content"] == text
        item = {"role": "user", "content": [
            {"type": "input_image", "image_url": url(picture(40, 30))},
            {"type": "input_text", "text": "What?"},
        ]}  # fmt: skip
        body = {"input": [item], "max_output_tokens": 4}
        made = asked(server, "POST", "/v1/responses", json=body).json()
        assert made["output"][0]["content"][0]["text"] == text
        body = {"input": "More?", "previous_response_id": made["id"], "max_output_tokens": 2}
        later = asked(server, "POST", "/v1/responses", json=body).json()
        assert later["usage"]["input_tokens_details"]["cached_tokens"] > 5 * EACH
        long = [{"role": "user", "content": [part, {"type": "text", "text": "x" * 99999}]}]
        status, message, *_ = error_of(
            asked(server, "POST", "/v1/chat/completions", json={"messages": long})
        )
        assert (status, "the prompt has 99999 characters" in message) == (400, True)
        for source, words in (
            ("/etc/hostname", "must be a data URL"),
            ("data:image/png;base64,AAAA", "no image that is read"),
        ):
            bad = [{"role": "user", "content": [{**part, "image_url": {"url": source}}]}]
            status, message, *_ = error_of(
                asked(server, "POST", "/v1/chat/completions", json={"messages": bad})
            )
            assert status == 400
            assert words in message
    finally:
        server.close()


def test_the_verb_and_the_function(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(encoded(picture(40, 30)))
    result = api.see(bundle, file, "What?", max_new_tokens=4)
    assert main(["see", str(bundle), str(file), "--prompt", "What?", "--max-new-tokens", "4"]) == 0
    printed = capsys.readouterr().out
    assert printed.rstrip("\n") == "".join(c for c in result.text if c.isprintable())
    lines = [
        {"id": 1, "image": str(file)}, {"id": 2, "image": "/none.png"}, {"id": 3},
        {"id": 4, "image": str(file), "prompt": 5}, {"id": 5, "image": []},
        {"id": 6, "image": [{"a": 1}]},
    ]  # fmt: skip
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    code = main(["see", str(bundle), "--batch", str(tmp_path / "in.jsonl"), "--prompt", "What?",
                 "--max-new-tokens", "4", "--out", str(tmp_path / "out.jsonl")])  # fmt: skip
    assert code == 1
    made = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert made[0] == {"id": 1, "text": result.text, "finish": "length"}
    assert "No such file" in made[1]["error"]
    assert "has no 'image'" in made[2]["error"]
    assert "prompt must be a text" in made[3]["error"]
    assert "there is no image" in made[4]["error"]
    assert "has no image" in made[5]["error"]
    assert main(["see", str(bundle), str(file), "--out", str(tmp_path / "no.txt")]) == 2
    assert "--out is for --batch" in capsys.readouterr().err
    assert main(["see", str(bundle)]) == 2
    assert "name images, or a file of --batch" in capsys.readouterr().err
    words = ["chat", str(bundle), "--image", str(file), "--message", "What?"]
    assert main([*words, "--max-new-tokens", "4"]) == 0
    assert capsys.readouterr().out == printed


def test_a_question_needs_an_image_and_is_a_text(llm: LLM) -> None:
    with pytest.raises(BundleError, match="there is no image"):
        api.see(llm, [])
    with pytest.raises(BundleError, match="the prompt must be a text, not int"):
        api.see(llm, picture(8, 8), 3)  # type: ignore[arg-type]
