"""Memory of a process that runs a bundle: imports, loading, and an answer.

python benchmarks/runtime_memory.py BUNDLE...             any task; a prompt of 256 tokens
python benchmarks/runtime_memory.py BUNDLE --prompt 2000  and so the caches of so many tokens
python benchmarks/runtime_memory.py BUNDLE --pages        what the memory after an answer is

Prints Markdown, in MB. Each bundle runs in a process of its own. Linux only: the peak is read from
/proc. *loaded*, *peak* (of loading) and *answer* are without what the imports take, and *limit* is
1.2 times the program file and its whole caches, which the peak of loading should not exceed.
*private* is the part of *answer* that the system cannot drop, as it can unchanged pages of files.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime_py import LLM, memory
from runtime_py.bundle import Bundle
from runtime_py.bundle_task import EMBED, SEE, TRANSCRIBE, TRANSLATE, task_name
from runtime_py.program_file import warm_up_imports

NEW = 32
"""Tokens of an answer."""
_PLACE = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+\s*(.*)$")

Answer = Callable[[], object]


def _text(path: Path, tokens: int) -> Answer:
    llm = LLM.load(path)
    ids = [5 + i % 300 for i in range(tokens)]
    return lambda: llm.generate(ids, max_new_tokens=NEW, ignore_eos=True)


def _see(path: Path, _: int) -> Answer:
    import numpy

    llm = LLM.load(path)
    image = numpy.zeros((224, 224, 3), numpy.uint8)
    parts = [{"type": "image", "image": image}, {"type": "text", "text": "What is it?"}]
    return lambda: llm.chat([{"role": "user", "content": parts}], max_new_tokens=NEW)


def _embed(path: Path, tokens: int) -> Answer:
    from runtime_py import Embedder

    embedder = Embedder.load(path)
    return lambda: embedder.embed(["word " * tokens])


def _transcribe(path: Path, _: int) -> Answer:
    from runtime_py import Transcriber

    transcriber = Transcriber.load(path)
    silence = [0.0] * (5 * int(transcriber.settings.sample_rate))
    return lambda: transcriber.transcribe(silence, max_new_tokens=NEW)


def _translate(path: Path, tokens: int) -> Answer:
    from runtime_py import Translator

    translator = Translator.load(path)
    return lambda: translator.translate("word " * min(tokens, 64), max_new_tokens=NEW)


_OF: dict[str, Callable[[Path, int], Answer]] = {
    SEE: _see, EMBED: _embed, TRANSCRIBE: _transcribe, TRANSLATE: _translate,
}  # fmt: skip


def measure(path: Path, tokens: int) -> dict[str, Any]:
    """Load once in this process, and answer; bytes."""
    bundle = Bundle.open(path)
    use = _OF.get(task_name(bundle), _text)
    warm_up_imports()
    import runtime_py.embedding
    import runtime_py.seq2seq
    import runtime_py.speech  # noqa: F401

    before = resident_pages()
    imports = memory.resident()
    memory.reset_peak()
    answer = use(path, tokens)
    peak, loaded = memory.peak(), memory.resident()
    answer()
    program = bundle.file("program")
    assert program is not None
    pages = {name: count - before.get(name, 0) for name, count in resident_pages().items()}
    return {
        "program": program.stat().st_size,
        "caches": (bundle.manifest["program"].get("cache") or {}).get("bytes", 0),
        "imports": imports, "loaded": loaded - imports, "peak": peak - imports,
        "answer": memory.resident() - imports, "peak_of_answer": memory.peak() - imports,
        "private": sum(n for name, n in pages.items() if name.startswith("private")),
        "pages": pages,
    }  # fmt: skip


def resident_pages() -> dict[str, int]:
    """'private NAME' and 'clean NAME' -> resident bytes of mappings: of a file, of anonymous
    memory, or of the heap."""
    found, name = Counter[str](), ""
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        place = _PLACE.match(line)
        if place:
            name = place[1].rsplit("/", 1)[-1] or "anonymous"
        elif line.startswith(("Private_Dirty:", "Private_Clean:", "Shared_Clean:")):
            key, count = line.split()[:2]
            kind = "private" if key == "Private_Dirty:" else "clean"
            found[f"{kind} {name}"] += int(count) * 1024
    return dict(found)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--prompt", type=int, default=256, help="tokens")
    parser.add_argument("--pages", action="store_true", help="the largest mappings too")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.bundles[0], given.prompt)))
        return 0
    print("| bundle | program | caches | imports | loaded | peak | limit | answer | private |")
    print("|---|" + "---:|" * 8)
    for path in given.bundles:
        command = [sys.executable, __file__, str(path), "--measure", "--prompt", str(given.prompt)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        found["limit"] = 1.2 * found["program"] + found["caches"]
        columns = ("program", "caches", "imports", "loaded", "peak", "limit", "answer", "private")
        cells = " | ".join(f"{found[name] / 1e6:.1f}" for name in columns)
        print(f"| `{path.name}` | {cells} |", flush=True)
        if given.pages:
            for name, count in Counter(found["pages"]).most_common(8):
                print(f"    {count / 1e6:8.1f}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
