"""Whether a run may claim an output folder: all reasons against it, found without writing."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

from llm_export.errors import InputError
from llm_export.output.place import OUT, folder_to_write
from llm_export.output.seal import foreign_part
from llm_export.output.working import foreign_entry, working_folder


def require_claimable(out: Path) -> None:
    """Raises InputError if a run would refuse to write its bundle to ``out``. Without the lock of
    a run: what another run is replacing just now is the output of a run."""
    with contextlib.suppress(FileNotFoundError):
        refuse_foreign(folder_to_write(out))


def refuse_foreign(out: Path, *, shown: Path | None = None) -> None:
    """Only an absent path, an empty folder, or a folder with our seal may be replaced.

    Args:
        shown: path for the message, if the folder was moved.

    Raises:
        InputError: it holds something else, or cannot be read.
        FileNotFoundError: it changes while it is examined.
    """
    place = shown or out
    mode = None
    with contextlib.suppress(FileNotFoundError):
        mode = out.lstat().st_mode
    if mode is not None:
        if not stat.S_ISDIR(mode):
            raise OUT.refuse(place, "folder was replaced by something else", "out=FOLDER")
        try:
            found = foreign_part(out)
        except FileNotFoundError:
            raise
        except OSError as error:
            found = f"cannot be read: {error.strerror}"
        if found is not None:
            raise InputError(
                f"the output folder {found}", where=f"out={place}",
                fix="choose another out=FOLDER, or move it away; nothing was changed",
            )  # fmt: skip
    if shown is None and (name := foreign_entry(working_folder(out))) is not None:
        raise InputError(
            f"the working folder of this output holds something that is no run's: {name}",
            where=str(working_folder(out)), fix="move it away, or choose another out=FOLDER",
        )  # fmt: skip
