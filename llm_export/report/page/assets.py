"""Fill a page's template, with style, scripts and data inside the page.

What a page shows comes from files that others may have made: names of models and modules, answers.
Jinja escapes all of it, the data of the charts is a block that no browser runs, and the page's
Content Security Policy allows its own scripts only, by their digests, and no connection.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from llm_export._version import __version__
from llm_export.files import finite
from llm_export.report.vendor import D3

_HERE, _VENDOR = "llm_export.report.page", "llm_export.report.vendor"
_CODE = re.compile(r"<script>.*?</script>|<meta http-equiv=[^>]*>", re.DOTALL)


def fill(template: str, scripts: Sequence[str], data: Mapping[str, Any], **values: Any) -> str:
    """The page.

    Args:
        template, scripts: files of this package.
        data: of the charts.
        values: of the template.
    """
    library = "\n".join(_text(_VENDOR, f"d3-{name}.min.js") for name in D3)
    licence = _text(_VENDOR, "LICENSE")
    code = [f"/*!\n{licence}*/\n{library}", "\n".join(_text(_HERE, name) for name in scripts)]
    policy = " ".join(f"'{_digest(one)}'" for one in code)
    return _environment().get_template(template).render(
        **values,
        version=__version__,
        style=Markup(_text(_HERE, "style.css")),
        scripts=[Markup(one) for one in code],
        policy=f"default-src 'none'; script-src {policy}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        data=finite(data),
    )  # fmt: skip


def without_scripts(page: str) -> str:
    """A page's text, markup and data, without the code that is in every page and its digests."""
    return _CODE.sub("", page)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(lambda name: _text(_HERE, name)), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


@cache
def _text(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text("utf-8")


def _digest(code: str) -> str:
    found = hashlib.sha256(code.encode()).digest()
    return f"sha256-{base64.b64encode(found).decode()}"
