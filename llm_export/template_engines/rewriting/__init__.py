"""Rules that write a construct of Jinja2 in a form that other engines understand alike.

Each changes only how a template says something. ``portable`` proves it for each template.
"""

from llm_export.template_engines.rewriting.base import Rule
from llm_export.template_engines.rewriting.loops import (
    CONTINUE,
    LOOP_SCOPE,
    MISSING_LIST,
    TEXT_LOOP,
)
from llm_export.template_engines.rewriting.methods import AFFIXES, FILTERS, GET, ITEMS, JOIN
from llm_export.template_engines.rewriting.names import (
    ALIASES,
    DICT,
    GENERATION,
    MONTHS,
    OMITTED,
)
from llm_export.template_engines.rewriting.strip_character import STRIP_CHARACTER
from llm_export.template_engines.rewriting.tests import ITERABLE, SINGLETONS, STRING
from llm_export.template_engines.rewriting.text import ESCAPES, LINE_ENDS
from llm_export.template_engines.rewriting.undefined import (
    MISSING_CONCAT,
    MISSING_KEY,
    MISSING_TRIM,
)

RULES: tuple[Rule, ...] = (
    LINE_ENDS, ESCAPES, GENERATION, ALIASES, DICT, CONTINUE, LOOP_SCOPE, SINGLETONS, ITERABLE,
    STRING, ITEMS, GET, JOIN, AFFIXES, STRIP_CHARACTER, FILTERS, MONTHS, MISSING_TRIM,
    MISSING_CONCAT, MISSING_KEY, MISSING_LIST, TEXT_LOOP, OMITTED,
)  # fmt: skip
"""In the order in which they are applied: later ones see what earlier ones wrote."""
