"""Rows of embeddings that an encoder computes of an image, under ids of their own.

To what keeps texts as token ids (prefixes, sessions, snapshots) a position of an image is one more
id. An id is made of the image's pixels and the row's number, so that the same image has the same
ids in every process, and two images have no long run in common.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from runtime_py.errors import BundleRuntimeError
from runtime_py.images import Tile
from runtime_py.token_ids import FIRST_ROW

Encoded = tuple[Tensor, ...]
"""[n, H] of a tile, and what else the encoder returns, [..., n, H]."""

MOST_BYTES = 1 << 30
"""Of encoded tiles that are kept."""
MOST_PIXELS = 2 << 30
"""Bytes of the pixels of tiles that are not yet encoded."""
MOST_ROWS = 1 << 19
"""Whose ids are kept: about 85 MB."""


class Place(NamedTuple):
    """
    Attributes:
        tile: digest of its pixels.
        row: of the tile.
        total: rows of the tile.
    """

    tile: str
    row: int
    total: int


@dataclass
class _Entry:
    ids: list[int]
    pixels: np.ndarray[Any, Any] | None
    encoded: Encoded | None = None


class Rows:
    """
    Args:
        encode: pixels float32 [1, 3, h, w] -> what the vision encoder returns.
        most_bytes: of encoded tiles; most_pixels: bytes of those that are not; most_rows: of all.
            Those that were not used for longest go first.
    """

    def __init__(
        self,
        encode: Callable[[Tensor], Encoded],
        most_bytes: int = MOST_BYTES,
        most_pixels: int = MOST_PIXELS,
        most_rows: int = MOST_ROWS,
    ) -> None:
        self._encode, self._most = encode, most_bytes
        self._most_pixels, self._most_rows = most_pixels, most_rows
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._places: dict[int, Place] = {}
        self._lock = threading.RLock()  # prompts are written while another text is fed
        self.encodings = 0
        """How many tiles were encoded."""

    def add(self, tile: Tile) -> list[int]:
        """The ids of a tile's rows. It is encoded when the first of them is fed."""
        digest = hashlib.sha256(repr(tile.pixels.shape).encode() + tile.pixels.tobytes())
        name = digest.hexdigest()
        with self._lock:
            entry = self._entries.get(name)
            if entry is None:
                entry = _Entry(self._ids(digest.digest(), tile.tokens), tile.pixels)
                self._entries[name] = entry
                self._places.update(
                    {each: Place(name, row, len(entry.ids)) for row, each in enumerate(entry.ids)}
                )
            elif entry.encoded is None:
                entry.pixels = tile.pixels
            self._entries.move_to_end(name)
            self._drop(name)
            return list(entry.ids)

    def _ids(self, digest: bytes, count: int) -> list[int]:
        for salt in range(256):
            data = hashlib.shake_256(digest + bytes([salt])).digest(4 * count)
            ids = (np.frombuffer(data, dtype="<u4").astype(np.int64) | FIRST_ROW).tolist()
            if len(set(ids)) == count and not any(each in self._places for each in ids):
                return ids
        raise BundleRuntimeError("too many images are in memory", fix="load the bundle again")

    def known(self, ids: Sequence[int]) -> bool:
        """Whether all of these rows can be fed."""
        with self._lock:
            places = [self._places.get(each) for each in ids]
            tiles = {place.tile for place in places if place is not None}
            for tile in tiles:
                self._entries.move_to_end(tile)
            return None not in places and all(map(self._held, tiles))

    def _held(self, tile: str) -> bool:
        entry = self._entries[tile]
        return entry.encoded is not None or entry.pixels is not None

    def place(self, token: int) -> Place | None:
        """Where a row is of; None: of no image that was added."""
        return self._places.get(token)

    def of(self, token: int) -> tuple[Encoded, int]:
        """(the tile of a row, encoded, and the row)

        Raises:
            BundleRuntimeError: the image is not at hand.
        """
        with self._lock:
            place = self._places.get(token)
            if place is None or not self._held(place.tile):
                raise BundleRuntimeError(
                    "the text has an image that is not in memory",
                    fix="ask again with the messages that have the image: a text of token ids "
                    "alone does not hold it",
                )
            entry = self._entries[place.tile]
            if entry.encoded is None:
                assert entry.pixels is not None
                found = self._encode(torch.from_numpy(entry.pixels))
                if found[0].shape[-2] != len(entry.ids):
                    raise BundleRuntimeError(
                        f"the vision encoder returns {found[0].shape[-2]} rows of a tile, the "
                        f"prompt has {len(entry.ids)}", fix="export the bundle again",
                    )  # fmt: skip
                # The program overwrites its outputs.
                entry.encoded, entry.pixels = tuple(each.clone() for each in found), None
                self.encodings += 1
                self._forget(place.tile)
            self._entries.move_to_end(place.tile)
            return entry.encoded, place.row

    def _drop(self, but: str) -> None:
        """Prompts that are never fed would keep their tiles forever."""
        used = sum(e.pixels.nbytes for e in self._entries.values() if e.pixels is not None)
        rows = len(self._places)
        for name, entry in list(self._entries.items()):
            if name == but or (used <= self._most_pixels and rows <= self._most_rows):
                return
            if used > self._most_pixels and entry.pixels is not None:
                used -= entry.pixels.nbytes
                entry.pixels = None
            if rows > self._most_rows:
                used -= 0 if entry.pixels is None else entry.pixels.nbytes
                rows -= len(entry.ids)
                del self._entries[name]
                for each in entry.ids:
                    del self._places[each]

    def _forget(self, but: str) -> None:
        kept = {name: sum(t.nbytes for t in e.encoded or ()) for name, e in self._entries.items()}
        used = sum(kept.values())
        for name in [each for each in self._entries if kept[each] and each != but]:
            if used <= self._most:
                return
            used -= kept[name]
            # The ids stay taken: a text may still have them.
            self._entries[name].encoded = None

    def clear(self) -> None:
        self._entries.clear()
        self._places.clear()
