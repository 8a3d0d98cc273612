"""Compile a generated Android app against signatures of its libraries, and run its plain part."""

from __future__ import annotations

import base64
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

STUBS = Path(__file__).parent / "kotlin"


def jars() -> list[Path]:
    """Of a Kotlin compiler with coroutines, which a package for notebooks brings.

    Skips the test where it or Java is missing.
    """
    found = importlib.util.find_spec("run_kotlin_kernel")
    if found is None or shutil.which("java") is None:
        pytest.skip(
            "needs a Kotlin compiler (pip install --no-deps kotlin-jupyter-kernel) and Java "
            "(apt-get install default-jre-headless)"
        )
    assert found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0], "jars")
    return [*folder.glob("kotlin-*.jar"), *folder.glob("annotations-*.jar")]


def compile_app(project: Path, package: str, out: Path) -> None:
    """All Kotlin files of an app into classes, with those of ``tests/kotlin``.

    Raises:
        AssertionError: the compiler has something to say, be it a warning.
    """
    classes = ":".join(map(str, jars()))
    made = out.with_suffix(".sources")
    made.mkdir()
    driver = (STUBS / "driver.kt").read_text().replace("PACKAGE", package)
    (made / "driver.kt").write_text(driver)
    (made / "R.kt").write_text(_resources(project, package))
    sources = [
        *(project / "app/src").rglob("*.kt"), *made.glob("*.kt"), *STUBS.glob("android/*.java"),
        *(file for file in STUBS.glob("*.kt") if file.name != "driver.kt"),
    ]  # fmt: skip
    done = subprocess.run(
        ["java", "-Xmx1g", "-XX:TieredStopAtLevel=1", "-cp", classes,
         "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-stdlib", "-no-reflect", "-Werror",
         "-language-version", "2.2", "-api-version", "2.2",  # of the project's libs.versions.toml
         "-jvm-target", "11", "-cp", classes, "-d", str(out), *map(str, sources)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _resources(project: Path, package: str) -> str:
    text = (project / "app/src/main/res/values/strings.xml").read_text()
    names = re.findall(r'<string name="(\w+)"', text)
    constants = "".join(f"        const val {name} = {i}\n" for i, name in enumerate(names))
    return f"package {package}\n\nobject R {{\n    object string {{\n{constants}    }}\n}}\n"


def run_driver(classes: Path, commands: Iterable[Sequence[str]]) -> list[str]:
    """What the driver answers, a line for each command."""
    lines = ["\t".join(command) for command in commands]
    done = subprocess.run(
        ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", "-cp",
         ":".join([str(classes), *map(str, jars())]), "driver.DriverKt"],
        input="\n".join(lines) + "\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    answers = done.stdout.splitlines()
    assert len(answers) == len(lines)
    return answers


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def of_b64(text: str) -> str:
    return base64.b64decode(text).decode()
