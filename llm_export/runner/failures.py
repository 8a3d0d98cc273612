"""Convert the exception that ended a run to an error with a fix."""

from __future__ import annotations

import contextlib
import errno
import traceback
from pathlib import Path

from llm_export.errors import LlmExportError, MissingDependencyError, StageError


def stage_failure(error: Exception, stage: str, recipe: str, out: Path, log: Path) -> Exception:
    """Convert the exception of a stage to an error for the user; the traceback is written to
    ``log``."""
    with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
        file.write(traceback.format_exc())
    if isinstance(error, LlmExportError):
        return error
    if isinstance(error, ModuleNotFoundError):
        return missing_package(error)
    if isinstance(error, FileNotFoundError) and not log.parent.is_dir():
        return MissingDependencyError(
            "the run's working folder was removed while it worked", where=str(log.parent),
            fix="run it again; finished stages are reused",
        )  # fmt: skip
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES):
        return os_failure(error, out)
    return StageError(stage, recipe, error, str(log))


def missing_package(error: ModuleNotFoundError) -> MissingDependencyError:
    package = (error.name or "").split(".")[0]
    return MissingDependencyError(
        f"the package '{package}' is not installed", fix=f"pip install {package}"
    )


def os_failure(error: OSError, out: Path) -> LlmExportError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MissingDependencyError(
            "no space is left on the disk", where=error.filename or str(out),
            fix="free some space or choose another out=FOLDER; nothing half-written is left",
        )  # fmt: skip
    return MissingDependencyError(
        f"a file cannot be used: {error.strerror or error}", where=error.filename or str(out)
    )
