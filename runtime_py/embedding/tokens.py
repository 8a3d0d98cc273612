"""Texts as token ids, with the special tokens that an encoder expects."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from runtime_py.errors import ArgumentError
from runtime_py.guard import guarded
from runtime_py.native_log import captured_native_log


@dataclass(frozen=True)
class Encoded:
    """A text's token ids.

    Attributes:
        length: tokens of the whole text.
    """

    ids: list[int]
    length: int

    @property
    def truncated(self) -> bool:
        """Whether its end was cut off."""
        return len(self.ids) < self.length


class TextEncoder:
    """A ``tokenizer.json`` with its post-processor, which adds special tokens such as [CLS] and
    [SEP]; its own truncation and padding are not used.

    Args:
        max_length: most tokens of a text; special tokens at its end are kept when it is cut.
        nfc: normalize text to Unicode NFC first.
    """

    def __init__(self, path: Path, *, max_length: int, nfc: bool = False) -> None:
        with guarded("the tokenizer cannot be read", where=str(path)):
            text = path.read_text("utf-8")
        self._read(text, str(path), max_length, nfc)

    @classmethod
    def of(cls, text: str, *, max_length: int) -> TextEncoder:
        """That of the text of a ``tokenizer.json``."""
        made = cls.__new__(cls)
        made._read(text, "tokenizer.json", max_length, False)
        return made

    def _read(self, text: str, where: str, max_length: int, nfc: bool) -> None:
        self.path, self._nfc = where, nfc
        # A panic of the library writes to stderr as well.
        with captured_native_log(), guarded("the tokenizer cannot be read", where=where):
            self._tokenizer = Tokenizer.from_str(text)
            self._tokenizer.no_padding()
            self._tokenizer.no_truncation()
            self._cutting = Tokenizer.from_str(self._tokenizer.to_str())
            self._cutting.enable_truncation(max_length)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """
        Raises:
            ArgumentError: one is no text, or has no token.
            BundleRuntimeError: the tokenizer fails.
        """
        cut = self._encoded(self._cutting, texts)
        found = [Encoded(list(each.ids), len(each.ids)) for each in cut]
        long = [index for index, each in enumerate(cut) if each.overflowing]
        lengths = map(len, self.whole([texts[index] for index in long]))
        for index, length in zip(long, lengths, strict=True):
            found[index] = Encoded(found[index].ids, length)
        empty = next((i for i, each in enumerate(found) if not each.ids), None)
        if empty is not None:
            raise ArgumentError(f"text {empty} has no tokens", fix="leave it out")
        return found

    def whole(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included, without the limit."""
        return [list(each.ids) for each in self._encoded(self._tokenizer, texts)]

    def _encoded(self, tokenizer: Tokenizer, texts: Sequence[str]) -> list[Any]:
        checked = [self._checked(index, text) for index, text in enumerate(texts)]
        with guarded("the tokenizer cannot encode these texts", where=self.path):
            return list(tokenizer.encode_batch(checked, add_special_tokens=True))

    def _checked(self, index: int, text: str) -> str:
        if not isinstance(text, str):
            raise ArgumentError(f"text {index} must be a str, not {type(text).__name__}")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ArgumentError(
                f"text {index} is not valid Unicode: character {error.start} is a lone surrogate",
                fix="decode the bytes that it came from as UTF-8",
            ) from None
        return unicodedata.normalize("NFC", text) if self._nfc else text
