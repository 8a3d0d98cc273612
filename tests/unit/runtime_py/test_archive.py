"""The table of a packed bundle, as anybody may have written it."""

from __future__ import annotations

import io
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime_py import BundleRuntimeError
from runtime_py.archive import Archive, is_archive
from runtime_py.archive_names import collision, leads_out
from runtime_py.program_front import moved_head, tables_size


def small() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, size in (("model.pte", 300), ("manifest.json", 40), ("a/b.txt", 0)):
            archive.writestr(name, bytes(range(256)) * (size // 256 + 1))
    return out.getvalue()


WHOLE = small()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archive") / "x.llmbundle"


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=4),
    st.integers(0, 40),
)
def test_a_changed_table_gives_members_of_the_file_or_an_error(
    file: Path, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(WHOLE)
    for at, value in changes:
        data[at] = value
    file.write_bytes(data[: len(data) - cut])
    try:
        found = Archive.read(file)
    except BundleRuntimeError:
        return
    ends = sorted((m.start, m.start + m.packed) for m in found.members.values())
    assert all(end <= start for (_, end), (start, _) in pairwise(ends))
    assert all(end <= len(data) for _, end in ends)
    assert collision(found.members) is None
    assert not any(map(leads_out, found.members))
    for member in found.members.values():
        if member.stored:
            assert sum(map(len, found.blocks(member))) == member.size


def test_a_table_that_claims_more_than_any_bundle_has_is_not_read(file: Path) -> None:
    end = WHOLE.rindex(b"PK\x05\x06")
    claimed = (17_000_000).to_bytes(4, "little")
    file.write_bytes(bytes(18_000_000) + WHOLE[: end + 12] + claimed + WHOLE[end + 16 :])
    assert is_archive(file)
    with pytest.raises(BundleRuntimeError, match="its table is longer"):
        Archive.read(file)


def test_a_head_is_moved_by_where_its_segments_begin() -> None:
    head = bytes(16) + b"".join(n.to_bytes(8, "little") for n in (500, 512, 90))
    moved = moved_head(head, 16384)
    assert tables_size(moved) == 500
    assert int.from_bytes(moved[24:32], "little") == 512 + 16384
    assert moved[:24] + moved[32:] == head[:24] + head[32:]
    without = head[:24] + bytes(16)
    assert moved_head(without, 16384) == without
