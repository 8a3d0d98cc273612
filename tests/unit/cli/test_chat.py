"""What a person, or a script, sees of `llm-export chat` and `generate`."""

from __future__ import annotations

import io
import json
import os
import pty
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_export.cli.main import main

Talk = Callable[..., tuple[int, str, str]]


@pytest.fixture
def talk(
    portable_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Talk:
    """talk(lines, *flags) -> (code, stdout, stderr) of a conversation with piped lines."""

    def run(lines: str, *flags: str, bundle: Path = portable_bundle) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        capsys.readouterr()
        code = main(["chat", str(bundle), "--max-new-tokens", "4", *flags])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_only_answers_go_to_standard_output(talk: Talk) -> None:
    code, out, err = talk("hi\n\n/stats\n/help\nagain", "--stats")
    assert code == 0
    assert out.count("\n") == 2
    assert "> " not in out
    assert "tiny_portable_none: 1.1 MB, 2048 tokens of context" in err
    assert err.count("[cut off: max_new_tokens is reached]") == 2
    assert "[1 turn(s), 24 of 2048 tokens of context]" in err
    for command in ("/help", "/stats", "/reset", "/system", "/exit"):
        assert f"\n{command} " in err


def test_a_turn_feeds_only_what_is_new(talk: Talk) -> None:
    code, _, err = talk("hi\nagain\n/reset\nhi\n/exit\n", "--stats", "--system", "be brief")
    assert code == 0
    stats = [line for line in err.splitlines() if "prompt tokens" in line]
    # After /reset nothing is kept.
    assert ["(0 cached)" in line for line in stats] == [True, False, True]


def test_unknown_commands_get_a_hint(talk: Talk) -> None:
    code, out, err = talk("/rset\n/\n/stats\n/exit\nnever asked\n")
    assert (code, out) == (0, "")
    assert "there is no command /rset: did you mean '/reset'?" in err
    assert "put a space before it" in err
    assert "[no answer yet]" in err
    assert talk(" /etc is a folder\n")[1].count("\n") == 1


def test_a_system_message_begins_a_new_conversation(talk: Talk) -> None:
    plain = talk("hi\n/stats\n")[2]
    _, _, err = talk("hi\n/system be brief\nhi\n/stats\n/system\nhi\n/stats\n")
    assert err.count("[a new conversation, with the system message]") == 1
    counts = [line for line in err.splitlines() if "prompt tokens" in line]
    assert "[37 prompt tokens (0 cached)" in counts[0]
    assert counts[1].split(",")[0] == plain.splitlines()[-2].split(",")[0]
    assert "[37 prompt tokens" in talk("hi\n/stats\n", "--system", "be brief")[2]


def test_an_error_ends_no_conversation(talk: Talk) -> None:
    code, out, err = talk(f"{'long ' * 500}\nhi\n")
    assert code == 0
    assert "error: the prompt has 25" in err
    assert "/reset starts over" in err
    assert out.count("\n") == 1


def test_a_base_model_is_refused_before_the_first_line(
    talk: Talk, portable_bundle: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "base"
    bundle.mkdir()
    for file in portable_bundle.iterdir():
        (bundle / file.name).symlink_to(file)
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["roles"]["chat_template"]
    (bundle / "manifest.json").unlink()
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    code, out, err = talk("hi\n", bundle=bundle)
    assert (code, out) == (2, "")
    assert "it is a base model" in err
    assert "llm-export generate" in err


def test_arguments_of_the_template(
    talk: Talk, portable_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tools.json").write_text('[{"type": "function", "function": {"name": "f"}}]')
    (tmp_path / "none.json").write_text("[")
    asked = ["--message", "hi"]
    assert talk("", *asked, "--no-thinking")[:2] == talk("", *asked)[:2]
    for flags, words in (
        (("--template-var", "flavour=1"), "there is no argument 'flavour'"),
        (("--template-var", "flavour"), "no NAME=VALUE: 'flavour'"),
        (("--tools", str(tmp_path / "none.json")), "not valid JSON"),
        (("--tools", str(tmp_path / "tools.json")), "the chat template does not read tools"),
        (("--documents", str(tmp_path / "missing.json")), "cannot be read: No such file"),
        (("--documents", str(tmp_path / "tools.json")), "does not read documents"),
        (("--min-p", "2"), "min_p must be in [0, 1]"),
    ):
        code, out, err = talk("", *asked, *flags)
        assert (code, out) == (2, "")
        assert words in err


def test_a_terminal_shows_that_it_loads(
    portable_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        assert main(["chat", str(portable_bundle), "--message", "x",
                     "--max-new-tokens", "2"]) == 0  # fmt: skip
        terminal.flush()
        shown = ""
        while "reached]" not in shown:
            shown += os.read(ours, 10000).decode()
    os.close(ours)
    assert shown.startswith(f"loading {portable_bundle} ...\r\x1b[K")
    assert "cut off: max_new_tokens" in shown
    assert len(capsys.readouterr().out) > 1
