"""Six processes that open, fill and publish one output: ``python race.py OUT SECONDS SEED``.

Prints counts as JSON. Every bundle has the same word in all of its files; a reader that finds two
words in one folder has met two runs, or half a bundle.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from llm_export.errors import LlmExportError
from llm_export.runner.workspace import Workspace

WRITERS, FILES = 6, 4


def write(out: Path, end: float, seed: int, results: Any) -> None:
    chance, counts = random.Random(seed), Counter[str]()
    while time.monotonic() < end:
        try:
            workspace = Workspace(out)
        except LlmExportError as error:
            counts[error.what] += 1
            time.sleep(chance.random() * 0.002)
            continue
        except BaseException as error:
            counts[f"{type(error).__name__}: {error}"] += 1
            continue
        try:
            word = f"{seed} {chance.random()}"
            for number in range(FILES):
                (workspace.bundle / str(number)).write_text(word)
                time.sleep(chance.random() * 0.001)
            if _words(workspace.bundle) != {word}:
                counts["two runs in one folder"] += 1
            ending = chance.choice(["publish"] * 8 + ["abandon", "discard"])
            getattr(workspace, ending)()
            counts[ending] += 1
        except BaseException as error:
            counts[f"{type(error).__name__}: {error}"] += 1
            workspace.release()
    results.put(counts)


def read(out: Path, end: float) -> Counter[str]:
    counts = Counter[str]()
    while time.monotonic() < end:
        try:
            folder = os.open(out, os.O_RDONLY)
        except FileNotFoundError:
            counts["between two renames"] += 1
            continue
        try:
            words = set()
            for number in range(FILES):
                file = os.open(str(number), os.O_RDONLY, dir_fd=folder)
                words.add(os.read(file, 100))
                os.close(file)
            counts["whole" if len(words) == 1 else "half a bundle"] += 1
        except FileNotFoundError:
            counts["replaced and removed while it was read"] += 1
        finally:
            os.close(folder)
        time.sleep(0.001)
    return counts


def _words(folder: Path) -> set[str]:
    return {path.read_text() for path in folder.iterdir()}


def main(out: Path, seconds: float, seed: int) -> dict[str, Any]:
    results: Any = multiprocessing.Queue()
    end = time.monotonic() + seconds
    writers = [
        multiprocessing.Process(target=write, args=(out, end, seed + n, results))
        for n in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    reader = read(out, end)
    total = Counter[str]()
    for _ in writers:
        total.update(results.get())
    for writer in writers:
        writer.join()
    return {"writers": total, "reader": reader, "left": sorted(os.listdir(out.parent))}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))))
