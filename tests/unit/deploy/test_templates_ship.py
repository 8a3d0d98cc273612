"""A wheel has all templates: an editable install finds files that nobody listed."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

from setuptools.glob import glob

REPO = Path(__file__).parents[3]


def test_every_template_is_package_data() -> None:
    settings = ConfigParser()
    settings.read(REPO / "setup.cfg")
    data = settings["options.package_data"]
    folders = list((REPO / "llm_export/deploy").glob("*/template"))
    assert folders
    for folder in folders:
        package = folder.parent
        patterns = data.get(".".join(package.relative_to(REPO).parts), "").split(",")
        found = {
            f for pattern in patterns for f in glob(str(package / pattern.strip()), recursive=True)
        }
        listed = {Path(file) for file in found if Path(file).is_file()}
        there = {f for f in folder.rglob("*") if f.is_file() and "__pycache__" not in f.parts}
        assert there <= listed, f"not in the wheel: {there - listed}"
