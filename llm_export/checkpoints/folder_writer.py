"""Write a Hugging Face folder tensor by tensor. It appears complete or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor

from llm_export.compat.module_state import is_view
from llm_export.errors import InputError
from llm_export.output.place import Named, folder_to_write
from llm_export.output.working import private_folder, sweep
from llm_export.tokenizers.base import TokenizerAssets

SHARD_BYTES = 2_000_000_000


class FolderWriter:
    """Collects tensors into shards of at most ``shard_bytes`` (a larger tensor gets its own
    shard).

    Use as a context manager: the folder is renamed to its final name if the block ends without an
    error, and removed otherwise.

    Raises:
        InputError: the folder exists and is not empty, or cannot be written.
    """

    def __init__(self, out: Path, shard_bytes: int = SHARD_BYTES) -> None:
        self.out = require_new_folder(out)
        self._limit = shard_bytes
        self._held: dict[str, Tensor] = {}
        self._held_bytes = 0
        self._shards: list[tuple[Path, list[str]]] = []
        self.tensors = 0
        self.bytes = 0

    def __enter__(self) -> FolderWriter:
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            sweep(self.out)
            self._partial, self._lock = private_folder(self.out)
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            self._partial.mkdir()
        except OSError as error:
            self._lock.release()
            raise self._unwritable(error) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._finish()
                os.rename(self._partial, self.out)  # the system replaces an empty folder only
        except OSError as failure:
            raise self._unwritable(failure) from None
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)
            self._lock.release()
        if isinstance(error, OSError):
            raise self._unwritable(error) from error

    def add(self, name: str, tensor: Tensor) -> None:
        size = tensor.numel() * tensor.element_size()
        if self._held and self._held_bytes + size > self._limit:
            self._flush()
        # safetensors refuses two views of the same memory in a file.
        self._held[name] = tensor.contiguous().clone() if is_view(tensor) else tensor
        self._held_bytes += size
        self.tensors, self.bytes = self.tensors + 1, self.bytes + size

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        text = json.dumps(value, indent=2) + "\n"
        (self._partial / name).write_text(text, encoding="utf-8")

    def write_tokenizer(self, assets: TokenizerAssets) -> None:
        """Write tokenizer.json, its config, the chat templates, and the special token ids."""
        (self._partial / "tokenizer.json").write_text(assets.tokenizer_json, encoding="utf-8")
        self.write_json("tokenizer_config.json", tokenizer_config(assets))
        if assets.chat_template:
            file = self._partial / "chat_template.jinja"
            file.write_text(assets.chat_template, encoding="utf-8")
        if assets.tool_use_template:
            file = self._partial / "additional_chat_templates" / "tool_use.jinja"
            file.parent.mkdir()
            file.write_text(assets.tool_use_template, encoding="utf-8")
        self.write_json(
            "generation_config.json",
            {
                "bos_token_id": assets.bos_id,
                "eos_token_id": list(assets.eos_ids),
                **assets.generation.sampling.as_hf(),
            },
        )

    def _flush(self) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        path = self._partial / f"shard-{len(self._shards)}"
        tensors = {name: tensor.contiguous() for name, tensor in self._held.items()}
        try:
            save_file(tensors, path, metadata={"format": "pt"})
        except SafetensorError as error:  # safetensors' message for a full disk
            raise OSError(str(error)) from None
        # safetensors creates the file with private permissions; make it as readable as the others.
        mask = os.umask(0)
        os.umask(mask)
        path.chmod(0o666 & ~mask)
        self._shards.append((path, list(self._held)))
        self._held, self._held_bytes = {}, 0

    def _finish(self) -> None:
        if self._held:
            self._flush()
        if len(self._shards) == 1:
            os.rename(self._shards[0][0], self._partial / "model.safetensors")
            return
        table: dict[str, str] = {}
        for number, (path, names) in enumerate(self._shards, start=1):
            file = f"model-{number:05d}-of-{len(self._shards):05d}.safetensors"
            os.rename(path, self._partial / file)
            table |= dict.fromkeys(names, file)
        index = {"metadata": {"total_size": self.bytes}, "weight_map": table}
        self.write_json("model.safetensors.index.json", index)

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(
            f"the folder cannot be written: {error.strerror or error}",
            where=str(self.out),
            fix="a folder on a disk that can be written and has room",
        )


def require_new_folder(out: Path) -> Path:
    """The absolute path of ``out``.

    Raises:
        InputError: the folder exists and is not empty, or cannot be written.
    """
    full = folder_to_write(out, Named("the folder"))
    if full.is_dir() and any(full.iterdir()):
        raise InputError(
            "the folder to write exists and is not empty",
            where=str(full),
            fix="another folder, or remove this one",
        )
    return full


def tokenizer_config(assets: TokenizerAssets) -> dict[str, object]:
    """The tokenizer_config.json that apps with Hugging Face's layout read, e.g.
    react-native-executorch, which loads none without an ``eos_token``.
    """
    config: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": assets.add_bos,
        **_names_of_ids(assets),
        **assets.special_tokens,
    }
    if assets.chat_template:
        config["chat_template"] = assets.chat_template
    return config


def _names_of_ids(assets: TokenizerAssets) -> dict[str, str]:
    """BOS and EOS by their ids. A template that asks for one renders nothing where the checkpoint
    names none, and must go on to do so.
    """
    templates = (assets.chat_template or "") + (assets.tool_use_template or "")
    ids = {"bos_token": assets.bos_id, "eos_token": next(iter(assets.eos_ids), None)}
    tokenizer = Tokenizer.from_str(assets.tokenizer_json)
    texts = {
        name: tokenizer.id_to_token(token)
        for name, token in ids.items()
        if token is not None and name not in templates and name not in assets.special_tokens
    }
    return {name: text for name, text in texts.items() if text is not None}
