"""Write the page report.html of a bundle or a sweep anew, from what its files say.

llm-export report outputs/smollm2_135m_xnnpack_8da8w --open      show it in the browser
llm-export report outputs/sweeps/tiny+backend,quant              of a sweep
llm-export report outputs/smollm2_135m_xnnpack_8da8w --pdf a.pdf printed by an installed Chromium
llm-export report outputs/smollm2_135m_xnnpack_8da8w --md        print report.md

Bundles of earlier versions get a page too: what they did not record says how to get it.
"""

from __future__ import annotations

import argparse
import tempfile
import webbrowser
from pathlib import Path

from llm_export import api
from llm_export.cli.runtime_args import printable
from llm_export.cli.waiting import waiting
from llm_export.errors import RecipeError
from llm_export.output.place import Named, file_to_write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="BUNDLE|SWEEP",
        help="the folder of a run or a sweep; or a packed bundle, with --html, --pdf or --md",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--html", metavar="FILE", help="write the page there; the folder stays as it is"
    )
    form.add_argument("--pdf", metavar="FILE", help="print the page; the folder stays as it is")
    form.add_argument("--md", action="store_true", help="print the report in Markdown")
    parser.add_argument("--open", action="store_true", help="show the page in the browser")


def run(options: argparse.Namespace) -> None:
    if options.md:
        if options.open:
            raise RecipeError("--md prints text, and --open shows a page", fix="one of them")
        print(printable(api.report_markdown(options.source)))
        return
    if options.pdf is not None:
        page = _printed(options.source, Path(options.pdf))
    else:
        page = api.report(options.source, html=options.html)
    print(page)
    if options.open:
        webbrowser.open(page.absolute().as_uri())


def _printed(source: str, pdf: Path) -> Path:
    from llm_export.report.pdf import chromium, write_pdf

    chromium()  # before any work
    file = file_to_write(pdf, Named("the PDF", "--pdf "))
    with tempfile.TemporaryDirectory() as scratch, waiting(f"printing {source}"):
        write_pdf(api.report(source, html=Path(scratch) / "report.html"), file)
    return file
