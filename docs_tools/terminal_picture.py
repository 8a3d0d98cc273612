"""Run a command in a terminal and draw what it shows at the end: the picture of the first page.

python docs_tools/terminal_picture.py FILE.svg COMMAND...

docs/images/run.svg: in an empty folder, on an idle machine, of
  llm-export run smollm2_135m_xnnpack_8da8w --no-cache
"""

from __future__ import annotations

import argparse
import fcntl
import io
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

COLUMNS = 100
FONT = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'
# On white and on black pages alike: a dark window with a border, contrast of 7:1 and more.
THEME = TerminalTheme(
    (22, 27, 34), (230, 237, 243),
    [(110, 118, 129), (255, 166, 158), (126, 231, 135), (242, 204, 96),
     (165, 214, 255), (210, 168, 255), (118, 227, 234), (230, 237, 243)],
)  # fmt: skip
# Lines that end in a carriage return are drawn again, as a terminal does.
_TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)|\x1b.")


def record(command: list[str], columns: int = COLUMNS) -> str:
    """What a command writes to a terminal of this width, with all control sequences.

    Raises:
        subprocess.CalledProcessError: it fails.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True
    )
    os.close(theirs)
    written = bytearray()
    try:
        while piece := os.read(ours, 65536):
            written += piece
    except OSError:  # Linux says so when the last writer has closed
        pass
    os.close(ours)
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, command, bytes(written))
    return written.decode("utf-8", "replace")


def screen(written: str) -> list[str]:
    """The lines that stay, with their colours: what was drawn over is gone."""
    lines, row, fresh = [""], 0, False
    for code, letter, control, text in _TOKEN.findall(written):
        if control == "\n":
            row, fresh = row + 1, False
            lines += [""] * (row + 1 - len(lines))
        elif control == "\r":
            fresh = True
        elif letter == "A":
            row = max(row - int(code or 1), 0)
        elif letter == "K":
            lines[row] = ""
        elif letter == "m" or text:
            if text and fresh:
                lines[row], fresh = "", False
            lines[row] += text or f"\x1b[{code}m"
    return lines


def draw(command: list[str], lines: list[str], columns: int = COLUMNS) -> str:
    """An SVG of a terminal. It loads no font: the reader's own monospace is used."""
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ ", "green") + Text(shlex.join(command), "bold"))
    body = "\n".join(lines).rstrip("\n")
    console.print(Text.from_ansi(body))
    console.print()  # the picture cuts the descenders of its last line
    svg = console.export_svg(title="", theme=THEME, unique_id="terminal")
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg)
    svg = svg.replace("Fira Code, monospace", FONT.replace('"', "'"))
    label = f'<svg role="img" aria-label="{shlex.join(command)}" '
    return svg.replace("<svg ", label, 1) + "\n"


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Draw what a command shows in a terminal.")
    parser.add_argument("file", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(words)
    lines = screen(record(options.command))
    options.file.parent.mkdir(parents=True, exist_ok=True)
    shown = [word for word in options.command if word != "--no-cache"]
    options.file.write_text(draw(shown, lines), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
