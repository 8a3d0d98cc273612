"""Encode text and decode token ids incrementally."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from runtime_py.errors import ArgumentError
from runtime_py.guard import guarded
from runtime_py.heap import malloc_trim
from runtime_py.native_log import captured_native_log


def row_name(row: int) -> str:
    """The token of a bundle for a row of the embedding that no token of the model has."""
    return f"<|no_token_{row}|>"


class TextTokenizer:
    """A ``tokenizer.json`` with the manifest's special token ids.

    ``nfc``: normalize text to Unicode NFC first, if the manifest requires it.
    """

    def __init__(
        self,
        path: Path,
        *,
        bos_id: int | None,
        eos_ids: Sequence[int],
        add_bos: bool,
        nfc: bool = False,
    ) -> None:
        self.path = str(path)
        # A panic of the library writes to stderr as well.
        with captured_native_log(), guarded("the tokenizer cannot be read", where=self.path):
            self._tokenizer = Tokenizer.from_file(self.path)
        malloc_trim()  # half of what the library takes for reading a file is free then
        self.bos_id = bos_id
        self.eos_ids = frozenset(eos_ids)
        self.add_bos = add_bos
        self.nfc = nfc

    def encode(self, text: str, *, raw: bool = True) -> list[int]:
        """Encode a text; special tokens in it are recognized.

        Args:
            raw: the text is a prompt without a chat template; BOS is put before it if the
                model expects one.

        Raises:
            ArgumentError: the text has a half of a surrogate pair, which is no character.
            BundleRuntimeError: the tokenizer fails, for example at its own regular expression.
        """
        if not isinstance(text, str):
            raise ArgumentError(f"a text must be a str, not {type(text).__name__}")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ArgumentError(
                f"the text is not valid Unicode: character {error.start} is a lone surrogate",
                fix="decode the bytes that it came from as UTF-8",
            ) from None
        if self.nfc:
            text = unicodedata.normalize("NFC", text)
        with guarded("the tokenizer cannot encode this text", where=self.path):
            ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        if raw and self.add_bos and self.bos_id is not None and ids[:1] != [self.bos_id]:
            ids = [self.bos_id, *ids]
        return list(ids)

    def without_text(self, vocab_size: int) -> list[int]:
        """The ids of a vocabulary that are no token of this tokenizer and end no answer: rows of
        the embedding that only round its size up. No training has made them improbable.
        """
        added = self._tokenizer.get_added_tokens_decoder().items()
        named = {i for i, token in added if token.content == row_name(i)} - self.eos_ids
        if self._tokenizer.get_vocab_size(with_added_tokens=True) == vocab_size:
            return sorted(named)
        known = {*self._tokenizer.get_vocab(with_added_tokens=True).values(), *self.eos_ids} - named
        return [i for i in range(vocab_size) if i not in known]

    def written(self) -> tuple[dict[int, str], bool]:
        """(id -> token as the tokenizer writes it, whether it writes each byte as a character)"""
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
        decoder = str(self._tokenizer.decoder)
        return {i: token for token, i in vocabulary.items()}, "ByteLevel" in decoder

    @property
    def size(self) -> int:
        """Number of ids: one more than the largest."""
        return 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)

    def json(self) -> str:
        """The text of ``tokenizer.json``."""
        return str(self._tokenizer.to_str())

    def texts(self) -> tuple[dict[int, bytes], list[int]]:
        """(id -> the UTF-8 that it adds behind another token, ids of special tokens). A byte piece
        is its byte.
        """
        vocab = self._tokenizer.get_vocab(with_added_tokens=True)
        added = self._tokenizer.get_added_tokens_decoder()
        special = [token for token, each in added.items() if each.special]
        anchor = vocab.get("a", min(vocab.values()))
        ids = sorted({*vocab.values()} - {*special})
        alone = self.decode([anchor])
        pairs = self._tokenizer.decode_batch([[anchor, token] for token in ids])
        texts = {i: text.removeprefix(alone).encode() for i, text in zip(ids, pairs, strict=True)}
        pieces = {f"<0x{byte:02X}>": bytes([byte]) for byte in range(256)}
        return texts | {vocab[p]: b for p, b in pieces.items() if p in vocab}, special

    def difference(self, other: TextTokenizer) -> str | None:
        """What ids mean something else in another tokenizer; None: all mean the same, but one may
        have further ids."""
        own, others = self.written()[0], other.written()[0]
        for i in sorted(own.keys() & others.keys()):
            if own[i] != others[i]:
                return f"{i} is {others[i][:50]!r} in it, and {own[i][:50]!r} here"
        return None if own.keys() & others.keys() else "they have no id in common"

    def special_in(self, texts: Sequence[str]) -> dict[int, str]:
        """The special tokens within ``texts``: id -> text."""
        if not texts:
            return {}
        added = self._tokenizer.get_added_tokens_decoder().items()
        return {
            i: token.content for i, token in added
            if token.special and any(token.content in text for text in texts)
        }  # fmt: skip

    def added(self) -> dict[str, int]:
        """Text -> id of the tokens that were added to the vocabulary."""
        found = self._tokenizer.get_added_tokens_decoder().items()
        return {token.content: i for i, token in found}

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        """The text of ids; that of special tokens only if ``special``."""
        with guarded("the tokenizer cannot decode these ids", where=self.path):
            text: str = self._tokenizer.decode(list(ids), skip_special_tokens=not special)
        return text


class TextStream:
    """Decodes ids to text incrementally, without ever emitting a partial character.

    A token may contain part of a UTF-8 sequence; text is held back until it is complete. A few
    earlier tokens are decoded again each time, because some decoders treat the first token
    differently (a leading space is dropped).

    Args:
        shown: special tokens that have a text: id -> text.
    """

    def __init__(self, tokenizer: TextTokenizer, shown: Mapping[int, str] | None = None) -> None:
        self._tokenizer, self._shown = tokenizer, shown or {}
        self._ids: list[int] = []
        self._start = 0
        self._done = 0

    def push(self, token: int) -> str:
        """The text that ``token`` completes; may be empty."""
        if self._shown and token in self._shown:
            text = self.flush() + self._shown[token]
            self._ids.append(token)
            self._done = len(self._ids)
            return text
        self._ids.append(token)
        before = self._tokenizer.decode(self._ids[self._start : self._done])
        now = self._tokenizer.decode(self._ids[self._start :])
        if now.endswith("�") or len(now) <= len(before):
            return ""
        self._start, self._done = self._done, len(self._ids)
        return now[len(before) :]

    def flush(self) -> str:
        """Text still held back when generation ends, replacement characters included."""
        before = self._tokenizer.decode(self._ids[self._start : self._done])
        now = self._tokenizer.decode(self._ids[self._start :])
        self._start, self._done = self._done, len(self._ids)
        return now[len(before) :]
