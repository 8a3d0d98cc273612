"""Libraries log these messages by these loggers, and they are dropped alone."""

import logging
import subprocess
import sys

import pytest

from llm_export.compat.import_warnings import _ANNOUNCED, silence_announcements


def test_only_the_announcements_are_dropped() -> None:
    loggers = {name: logging.getLogger(name) for name in _ANNOUNCED}
    before = {name: list(logger.filters) for name, logger in loggers.items()}
    try:
        silence_announcements()
        silence_announcements()
        for name, text in _ANNOUNCED.items():
            of, said = loggers[name], f"x {text} y"
            assert len(of.filters) <= len(before[name]) + 1
            announced = of.makeRecord(name, logging.WARNING, "", 0, said, (), None)
            other = of.makeRecord(name, logging.WARNING, "", 0, "another matter", (), None)
            assert not of.filter(announced)
            assert of.filter(other)
    finally:
        for name, logger in loggers.items():
            logger.filters[:] = before[name]


@pytest.mark.slow
def test_torchao_announces_by_these_loggers() -> None:
    """That they are silenced is tested with the commands that import it."""
    code = "import torchao.quantization"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in ("torchao", "torch.utils._pytree"):
        assert _ANNOUNCED[name] in done.stderr
