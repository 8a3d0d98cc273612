"""Versions of the library, and the packages that were published together with each.

Expo's SDK pins what its modules work with, and the library the worklets and file packages that its
native code was built against: https://www.npmjs.com/package/react-native-executorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llm_export.errors import RecipeError, did_you_mean


@dataclass(frozen=True)
class Release:
    """
    Attributes:
        consumer: the contract's name, in ``llm_export.consumers``.
        packages, tools: name -> exact version, of ``dependencies`` and ``devDependencies``.
        ios, android_sdk: the least that the library runs on.
    """

    consumer: str
    packages: Mapping[str, str]
    tools: Mapping[str, str]
    ios: str = "17.0"
    android_sdk: int = 33


RELEASES = {
    "0.10": Release(
        "react_native@0.10",
        {
            "expo": "57.0.33",
            "expo-asset": "57.0.21",
            "expo-build-properties": "57.0.22",
            "expo-status-bar": "57.0.1",
            "react": "19.2.3",
            "react-native": "0.86.3",
            "react-native-blob-util": "0.24.11",
            "react-native-executorch": "0.10.2",
            "react-native-safe-area-context": "5.7.0",
            "react-native-worklets": "0.10.1",
        },
        {"@types/react": "19.2.18", "typescript": "6.0.3"},
    ),
}
NEWEST = "0.10"


def release_of(version: str) -> Release:
    """
    Raises:
        RecipeError: no such version.
    """
    if version not in RELEASES:
        raise RecipeError(
            f"there is no project for react-native-executorch {version}",
            where=f"--set version={version}",
            fix=did_you_mean(version, RELEASES) or f"versions: {', '.join(RELEASES)}",
        )
    return RELEASES[version]
