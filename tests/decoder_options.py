"""The shipped model options of decoders; those of other tasks have tests of their own."""

from __future__ import annotations

from importlib import resources

FILES = {
    file.name.removesuffix(".yaml"): file
    for file in resources.files("llm_export.conf").joinpath("model").iterdir()
    if file.name.endswith(".yaml")
    and file.name != "auto.yaml"
    and "  task: " not in file.read_text()
}
OPTIONS = sorted(FILES)
