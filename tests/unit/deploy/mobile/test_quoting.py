"""Texts of strangers stay texts in Kotlin, Swift, XML and TOML."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import tomllib
from hypothesis import example, given, settings
from hypothesis import strategies as st
from syntax_tools import mistakes

from llm_export.deploy.mobile.quoting import android_text, kotlin, swift, toml, xml

HOSTILE = '"; \x7fexec("$x ${y} \\(z) \\u0041 </string>&]]>\n\r\t\0\u2028 @ \U0001f600 \'"""'
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def _of_kotlin(literal: str) -> str:
    assert re.search(r"(?<!\\)(\\\\)*\$", literal) is None, "a template would interpolate"
    plain = re.sub(r"\\(.)", lambda m: "$" if m[1] == "$" else m[0], literal)
    return str(json.loads(plain))


def _of_swift(literal: str) -> str:
    def scalar(found: re.Match[str]) -> str:
        if found[1] == "u":
            return chr(int(found[2], 16))
        return {"n": "\n", "r": "\r", "t": "\t"}.get(found[1], found[1])

    assert literal[0] == literal[-1] == '"'
    assert "\\(" not in literal.replace("\\\\", "")
    return re.sub(r"\\(.)(?:(?<=u)\{([0-9A-F]+)\})?", scalar, literal[1:-1])


@settings(max_examples=25)
@example(HOSTILE)
@given(TEXTS)
def test_literals_are_the_text(text: str) -> None:
    assert kotlin(text).isascii()
    assert swift(text).isascii()
    assert _of_kotlin(kotlin(text)) == text
    assert _of_swift(swift(text)) == text
    assert tomllib.loads(f"x = {toml(text)}")["x"] == text


@settings(max_examples=25)
@example(HOSTILE)
@given(TEXTS)
def test_xml_has_the_text_without_what_xml_lacks(text: str) -> None:
    shown = "".join(c for c in text if (c >= " " and c not in "\ufffe\uffff") or c in "\t\n\r")
    read = ElementTree.fromstring(f"<a b='{xml(text)}'>{xml(text)}</a>")
    assert (read.text or "").replace("\r", "\n") == shown.replace("\r\n", "\n").replace("\r", "\n")
    ElementTree.fromstring(f"<string>{android_text(text)}</string>")


def test_resources_escape_what_android_reads() -> None:
    assert android_text('@it\'s "x"\n') == "\\@it\\&apos;s \\&quot;x\\&quot;\\n"
    assert android_text("?a") == "\\?a"


def test_half_a_character_is_none_in_swift_and_itself_in_kotlin() -> None:
    assert swift("\ud83d") == '"\\u{FFFD}"'
    assert kotlin("\ud83d") == '"\\uD83D"'


def test_a_constant_is_no_longer_than_a_class_file_takes() -> None:
    parts = re.findall(r'"([^"]*)"', kotlin("é" * 30_000))
    assert len(parts) == 4  # and the separator
    assert max(len(part) // 6 for part in parts) <= 12_000


def test_grammars_read_the_literals() -> None:
    assert mistakes("kotlin", f"val x = {kotlin(HOSTILE)}\n") == []
    assert mistakes("swift", f"let x = {swift(HOSTILE)}\n") == []
    assert mistakes("swift", "let x = (\n") != []
    assert mistakes("kotlin", "val x = (\n") != []
