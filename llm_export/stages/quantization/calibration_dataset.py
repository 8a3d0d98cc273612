"""Text from the first rows of a Hugging Face dataset."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from llm_export.config.quant_schema import CalibrationConfig
from llm_export.errors import InputError, MissingDependencyError
from llm_export.home import expanded

_KEY = "quant.calibration.dataset"


def dataset_text(settings: CalibrationConfig, characters: int) -> str:
    """Rows of the text column, in order, separated by blank lines, up to this many characters.
    Rows are streamed, so only the needed part of a large dataset is downloaded.

    Raises:
        InputError: no such dataset, configuration, split or column.
        MissingDependencyError: the package ``datasets`` is missing, or the hub cannot be reached.
    """
    assert settings.dataset is not None
    return _read(
        settings.dataset, settings.dataset_config, settings.dataset_revision, settings.split,
        settings.column, characters,
    )  # fmt: skip


@lru_cache(maxsize=2)  # smoothing, outliers and rounding all need it
def _read(
    name: str, config: str | None, revision: str | None, split: str, column: str, characters: int
) -> str:
    parts: list[str] = []
    try:
        rows = _open(name, config, revision, split)
        for row in rows:
            value = row.get(column)
            if not isinstance(value, str):
                kind = "no column" if column not in row else "no text in the column"
                raise InputError(
                    f"the dataset has {kind} '{column}'", where=f"{_KEY}={name}",
                    fix=f"quant.calibration.column=one of {', '.join(map(str, row))}",
                )  # fmt: skip
            if value.strip():
                parts.append(value)
                characters -= len(value)
            if characters <= 0:
                break
    except (ConnectionError, TimeoutError) as error:
        raise MissingDependencyError(
            f"the hub cannot be reached: {_first_line(error)}", where=f"{_KEY}={name}",
            fix=f"check the network, or give a folder with the data's files: {_KEY}=FOLDER",
        ) from None  # fmt: skip
    except (ValueError, OSError, UnicodeDecodeError) as error:
        # The library raises these for unknown names, other configurations, and damaged files alike.
        raise InputError(
            f"the dataset cannot be read: {_first_line(error)}", where=f"{_KEY}={name}",
            fix="see quant.calibration.dataset_config, dataset_revision and split",
        ) from None  # fmt: skip
    return "\n\n".join(parts)


def _open(name: str, config: str | None, revision: str | None, split: str) -> Any:
    try:
        import datasets
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "a dataset as calibration text needs the package 'datasets', which is not installed",
            where=f"{_KEY}={name}", fix='pip install "llm_export[datasets]"',
        ) from None  # fmt: skip
    local = expanded(name)
    path = str(local.resolve()) if local.is_dir() else name
    return datasets.load_dataset(path, config, split=split, revision=revision, streaming=True)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
