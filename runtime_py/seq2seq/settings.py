"""What a manifest says under ``task.settings`` to whoever decodes with its program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime_py.errors import BundleRuntimeError

_REQUIRED = object()


class SettingsReader:
    """Reads ``task.settings`` key by key, and says which is missing or has another type.

    Raises:
        BundleRuntimeError: the bundle is of another task.
    """

    def __init__(self, manifest: Mapping[str, Any], task: str, where: str) -> None:
        found = manifest.get("task") or {"name": "generate"}
        if found["name"] != task:
            raise BundleRuntimeError(
                f"the bundle is for the task '{found['name']}', not '{task}'", where=where,
                fix=f"export a model of the task {task}",
            )  # fmt: skip
        self.task, self.where = task, where
        self._values = dict(found.get("settings") or {})

    def ids(self, key: str, default: Any = _REQUIRED) -> tuple[int, ...]:
        """A list of token ids."""
        value = self._take(key, default)
        good = isinstance(value, (list, tuple)) and all(self._is_id(each) for each in value)
        return tuple(value) if good else self._wrong(key, value, "a list of token ids")

    def id(self, key: str) -> int | None:
        """A token id; None where there is none."""
        value = self._take(key, None)
        good = value is None or self._is_id(value)
        return value if good else self._wrong(key, value, "a token id or null")

    def named_ids(self, key: str) -> dict[str, int]:
        """Names and their token ids; empty where there are none."""
        value = self._take(key, {}) or {}
        good = isinstance(value, dict) and all(self._is_id(each) for each in value.values())
        return dict(value) if good else self._wrong(key, value, "names with token ids")

    def count(self, key: str, default: Any = _REQUIRED) -> int:
        """A positive whole number."""
        value = self._take(key, default)
        good = type(value) is int and value > 0
        return int(value) if good else self._wrong(key, value, "a positive whole number")

    def number(self, key: str, default: Any = _REQUIRED) -> float:
        """A positive number."""
        value = self._take(key, default)
        good = type(value) in (int, float) and value > 0
        return float(value) if good else self._wrong(key, value, "a positive number")

    def seconds(self, key: str) -> float | None:
        """A positive number; None where there is none."""
        return None if self._values.get(key) is None else self.number(key)

    @staticmethod
    def _is_id(value: object) -> bool:
        return type(value) is int and value >= 0

    def _take(self, key: str, default: Any) -> Any:
        value = self._values.get(key, default)
        if value is _REQUIRED:
            raise BundleRuntimeError(
                f"the manifest's settings of the task {self.task} lack '{key}'", where=self.where,
                fix="export the model again",
            )  # fmt: skip
        return value

    def _wrong(self, key: str, value: object, needed: str) -> Any:
        raise BundleRuntimeError(
            f"the manifest's settings of the task {self.task} have {key}={value!r}"[:300],
            where=self.where, fix=f"it must be {needed}: export the model again",
        )  # fmt: skip
