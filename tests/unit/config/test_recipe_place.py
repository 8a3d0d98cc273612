"""A checkpoint, an adapter or a bundle in the place of a recipe is answered with a command."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_export.config.recipe_source import recipe_file
from llm_export.errors import InputError


def folder(*names: str) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        made = root / "my models"
        made.mkdir()
        for name in names:
            (made / name).write_text("{}")
        return made

    return make


def weights(name: str, *, there: bool = True) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        path = root / name
        if there:
            path.write_bytes(b"")
        return path

    return make


@pytest.mark.parametrize(
    ("make", "what", "words"),
    [
        (folder("model.safetensors", "config.json"), "this is a checkpoint",
         ["model=auto", "checkpoint.path={}"]),
        (folder("model.safetensors", "extra.yaml"), "this is a checkpoint",
         ["model=auto", "checkpoint.path={}"]),
        (folder("adapter_config.json", "adapter_model.safetensors"), "this is a LoRA adapter",
         ["model=auto", "checkpoint.path=BASE", "checkpoint.adapter={}"]),
        (folder("manifest.json", "recipe.yaml", "model.pte"), "this is a bundle",
         ["{}/recipe.yaml"]),
        (folder("a.yaml", "b.yaml"), "this is a folder", ["{}/a.yaml"]),
        (weights("model.gguf"), "this is a checkpoint", ["model=auto", "checkpoint.path={}"]),
        (weights("gone.gguf", there=False), "no such file, and it is named like weights",
         ["model=auto", "checkpoint.path={}"]),
    ],
)  # fmt: skip
def test_what_is_no_recipe(
    make: Callable[[Path], Path], what: str, words: list[str], tmp_path: Path
) -> None:
    path = make(tmp_path)
    with pytest.raises(InputError) as refused:
        recipe_file(str(path))
    assert what in refused.value.what
    assert refused.value.where == str(path)
    command = shlex.split(refused.value.fix or "")
    if words[0] == "model=auto":  # without these, the slow reference backend and float32
        words = [*words, "backend=xnnpack", "quant=8da8w"]
    said = [word.replace("'", "") for word in command]  # quotes of the override grammar
    assert said == ["llm-export", "run", *(word.format(path) for word in words)]
