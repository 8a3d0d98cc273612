"""CTranslate2; an artifact is a folder of ``ct2-transformers-converter``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


class CTranslate2:
    package = "ctranslate2"

    @staticmethod
    def accepts(path: Path) -> bool:
        return (path / "model.bin").is_file() and (path / "vocabulary.json").is_file()

    def __init__(self, path: Path, threads: int, context: int) -> None:
        import ctranslate2

        self.words = json.loads((path / "vocabulary.json").read_text(encoding="utf-8"))
        self.vocabulary = len(self.words)
        self.model: Any = ctranslate2.Generator(
            str(path), device="cpu", inter_threads=1, intra_threads=threads
        )

    def generated(self, ids: list[int], count: int) -> float:
        prompt = [self.words[i] for i in ids]
        start = time.perf_counter()
        self.model.generate_batch(
            [prompt], max_length=count, min_length=count, sampling_topk=1,
            include_prompt_in_result=False,
        )  # fmt: skip
        return time.perf_counter() - start


RUNTIME = CTranslate2
