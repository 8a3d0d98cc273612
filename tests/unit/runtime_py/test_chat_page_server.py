"""What the server gives the chat page: its files, and its conversations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from chat_server import serving
from server_tools import KEY, asked, error_of

from runtime_py import LLM
from runtime_py import __main__ as command_line
from runtime_py.server.serving import Serving
from runtime_py.server.settings import Settings

PAGE = Path(__file__).parents[3] / "runtime_py/server/page"


def test_files_load_nothing_of_others(portable_bundle: Path) -> None:
    server = Serving(Settings(api_keys=(KEY,)), lambda: LLM.load(portable_bundle))
    page = asked(server, "GET", "/")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "trusted-types dompurify" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    named = re.findall(r'(?:src|href)="(page/[^"]+)"', page.text)
    assert len(named) >= 5
    for name in named:
        found = asked(server, "GET", f"/{name}")
        assert found.status_code == 200, name
        assert found.headers["content-security-policy"] == policy
    for name in ("vendor/README.md", "none.js", "..%2Fsettings.py", "vendor%2F..%2F..%2Fapp.py"):
        assert asked(server, "GET", f"/page/{name}").status_code == 404, name
    assert asked(server, "GET", "/api/info").status_code == 401
    own = [file for file in PAGE.iterdir() if file.suffix in (".js", ".html", ".css")]
    for file in own:
        text = file.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, file.name
        assert not re.search(r"innerHTML|https?://(?!www\.w3\.org/2000/svg)", text), file.name
        assert not re.search(r"<[^>]+ (style|on\w+)=", text), file.name


def test_conversations_are_kept_in_the_store(portable_bundle: Path, tmp_path: Path) -> None:
    server = serving(portable_bundle, store=tmp_path / "chats.db")
    try:
        info = asked(server, "GET", "/api/info").json()
        assert info["store"] is True
        assert info["chat"] is True
        assert info["context"] == 2048
        messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
        body = {
            "messages": messages, "stats": {"1": {"decode_tokens_per_second": 3.5}},
            "settings": {"temperature": 0.5},
        }  # fmt: skip
        assert asked(server, "PUT", "/api/sessions/abc", json=body).status_code == 204
        [row] = asked(server, "GET", "/api/sessions").json()["data"]
        assert (row["id"], row["title"], row["messages"]) == ("abc", "hi", 2)
        found = asked(server, "GET", "/api/sessions/abc").json()
        assert [each["message"] for each in found["messages"]] == messages
        assert found["messages"][1]["stats"] == {"decode_tokens_per_second": 3.5}
        assert found["settings"] == {"temperature": 0.5}
        odd = {**body, "stats": {"9" * 5000: {}, "\u0661": {}, "-1": {}}}
        assert asked(server, "PUT", "/api/sessions/abc", json=odd).status_code == 204
        # Another file in its place is taken; one that is gone is made anew.
        (tmp_path / "chats.db").rename(tmp_path / "away.db")
        assert asked(server, "GET", "/api/sessions").json()["data"] == []
        assert error_of(asked(server, "GET", "/api/sessions/last"))[::3] == (
            404, "session_not_found"
        )  # fmt: skip
        (tmp_path / "chats.db").write_bytes(b"notes, and no store" * 9)
        status, message, _, code = error_of(asked(server, "GET", "/api/sessions"))
        assert (status, code) == (500, "store_failed")
        assert str(tmp_path) not in message
        (tmp_path / "away.db").replace(tmp_path / "chats.db")
        shorter = {"messages": messages[:1]}
        assert asked(server, "PUT", "/api/sessions/abc", json=shorter).status_code == 204
        renamed = asked(server, "PATCH", "/api/sessions/abc", json={"title": "a new one"})
        assert renamed.status_code == 204
        [row] = asked(server, "GET", "/api/sessions").json()["data"]
        assert (row["title"], row["messages"]) == ("a new one", 1)
        wrong = asked(server, "PUT", "/api/sessions/abc", json={"messages": [{"content": "a"}]})
        assert error_of(wrong)[0] == 400
        assert "a message must be a dict with a role" in error_of(wrong)[1]
        assert asked(server, "DELETE", "/api/sessions/abc").status_code == 204
        gone = error_of(asked(server, "GET", "/api/sessions/abc"))
        assert gone == (404, gone[1], None, "session_not_found")
        assert gone[1].startswith("there is no session abc")
    finally:
        server.close()


def test_a_file_that_is_no_store_is_refused_before_the_bundle_is_loaded(
    portable_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("not a store, but longer than the head of one" * 9)
    words = ["serve", str(portable_bundle), "--port", "0"]
    words += ["--store", str(tmp_path / "notes.txt")]
    assert command_line.main(words) == 2
    err = capsys.readouterr().err
    assert "notes.txt" in err
    assert "loading" not in err


def test_without_a_store_it_is_told(portable_bundle: Path) -> None:
    server = Serving(Settings(), lambda: LLM.load(portable_bundle))
    status, message, _, code = error_of(asked(server, "GET", "/api/sessions"))
    assert (status, code) == (404, "no_store")
    assert "start it with --store FILE" in message
    assert error_of(asked(server, "GET", "/api/info"))[3] == "loading"
