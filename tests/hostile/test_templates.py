"""No chat template of an untrusted model hangs, fills memory or leaves as a raw error."""

from __future__ import annotations

import tracemalloc

import pytest
from hostile.outcome_record import record

from runtime_py import template_budget
from runtime_py.chat_template import ChatTemplate
from runtime_py.errors import BundleRuntimeError

USER = [{"role": "user", "content": "hello"}]
LARGE: dict[str, str] = {
    "product": "{{ 'x' * 10**11 }}",
    "list product": "{{ [range(100000)|list] * 100000 }}",
    "tenfold": "{% set ns = namespace(a='lol') %}{% for i in range(15) %}"
    "{% set ns.a = ns.a * 10 %}{% endfor %}{{ ns.a }}",
    "doubled ~": "{% set ns = namespace(a='x') %}{% for i in range(60) %}"
    "{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
    "doubled +": "{% set ns = namespace(a='x') %}{% for i in range(60) %}"
    "{% set ns.a = ns.a + ns.a %}{% endfor %}",
    "nested twice": "{% set ns = namespace(a=[1]) %}{% for i in range(60) %}"
    "{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a }}",
    "nested tuples": "{% set ns = namespace(a=(1,)) %}{% for i in range(60) %}"
    "{% set ns.a = (ns.a, ns.a) %}{% endfor %}{{ {ns.a: 1} }}",
    "nested dicts": "{% set ns = namespace(a={}) %}{% for i in range(60) %}"
    "{% set ns.a = {1: ns.a, 2: ns.a} %}{% endfor %}{{ ns.a|tojson }}",
    "captured": "{% set x %}{% for i in range(100000) %}{{ 'x' * 100000 }}{% endfor %}{% endset %}",
    "captured apart": "{% set y = 'x' * 900000 %}{% set x %}{% for i in range(100000) %}"
    "{{ y ~ i }}{% endfor %}{% endset %}",
    "written": "{% for i in range(100000) %}{{ 'x' * 100000 }}{% endfor %}",
    "one expression": "{{ '' ~ " + " ~ ".join(["'x' * 900000"] * 200) + " }}",
    "% width": "{{ '%99999999999d' % 1 }}",
    "% star": "{{ '%*d' % (10**11, 1) }}",
    "format width": "{{ '{:99999999999}'.format(1) }}",
    "format inner width": "{{ '{:{w}}'.format(1, w=10**11) }}",
    "format_map": "{{ '{a:99999999999}'.format_map({'a': 1}) }}",
    "format filter": "{{ '%99999999999d'|format(1) }}",
    "center": "{{ 'x'|center(10**11) }}",
    "center constant": "{{ 'x'|center(100000000000) }}",
    "center block": "{% filter center(10**11) %}a{% endfilter %}",
    "center mapped": "{{ [1, 2]|map('center', 10**11)|list }}",
    "ljust": "{{ 'x'.ljust(10**11) }}",
    "zfill": "{{ 'x'.zfill(10**11) }}",
    "expandtabs": "{{ '\t'.expandtabs(10**10) }}",
    "replace": "{{ ('a' * 1000).replace('', 'b' * 100000) }}",
    "replace filter": "{{ ('a' * 1000)|replace('a', 'b' * 100000) }}",
    "join": "{{ range(100000)|list|join('x' * 100000) }}",
    "join a text": "{{ ('x' * 1000)|join('y' * 10000) }}",
    "join method": "{{ 'a'.join(['b' * 100000] * 100000) }}",
    "translate": "{{ ('a' * 1000).translate({97: 'b' * 100000}) }}",
    "to_bytes": "{{ (5).to_bytes(10**11, 'big') }}",
    "indent": "{{ 'x\n'|indent(10**10) }}",
    "tojson indent": "{{ messages|tojson(indent=10**9) }}",
    "batch": "{{ [1]|batch(10**10, 'x')|list }}",
    "slice": "{{ [1]|slice(10**10)|list }}",
    "sum": "{{ ([range(1000)|list] * 1000)|sum(start=[])|length }}",
    "round": "{{ 1.5|round(10**9, 'ceil') }}",
    "power": "{{ (10**300) ** (10**9) }}",
    "strftime": "{{ strftime_now('%1000000000d') }}",
    "lipsum": "{{ lipsum(n=10**9) }}",
    "wordwrap": "{{ ('x ' * 40000)|wordwrap(1, wrapstring='y' * 100000) }}",
    "deep": "{% set ns = namespace(a=[]) %}{% for i in range(500) %}{% set ns.a = [ns.a] %}"
    "{% endfor %}{{ ns.a }}",
}
SLOW: dict[str, str] = {
    "two loops": "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "recursive loop": "{% for i in [[1] * 9] * 9 recursive %}{{ loop([[[1] * 9] * 9] * 9) }}"
    "{% endfor %}",
    "macros": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
    "{{ m(60) }}",
    "filters": "{% for i in range(100000) %}{% if range(100000)|map('string')|select('undefined')"
    "|list %}{% endif %}{% endfor %}",
    "namespaces": "{% set a = namespace() %}{% set ns = namespace(x=a) %}{% for i in range(60) %}"
    "{% set b = namespace(x=[ns.x, ns.x]) %}{% set ns.x = b %}{% endfor %}{{ ns.x }}",
}
RAW: dict[str, str] = {
    "endless macro": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "endless block": "{% block a %}{{ self.a() }}{% endblock %}",
    "endless loop": "{% for x in messages recursive %}{{ loop(messages) }}{% endfor %}",
    "brackets": "{{ " + "[" * 5000 + "]" * 5000 + " }}",
    "sum of many": "{{ " + "+".join(["1"] * 5000) + " }}",
    "many fors": "{% for i in [1] %}" * 30 + "{% endfor %}" * 30,
    "many ifs": "{% if 1 %}" * 2000 + "{% endif %}" * 2000,
    "many parts": "{{ x }}" * 20_001,
    "long": "x" * 300_000,
    "digits": "{{ " + "9" * 5000 + " }}",
    "too many digits": "{{ 10**5000 }}",
    "tag": "{% " * 10,
    "include": "{% include 'x' %}",
    "extends": "{% extends 'x' %}",
    "import": "{% import 'x' as y %}",
    "zero": "{{ 1 / 0 }}",
    "overflow": "{{ 2.0 ** (10**9) }}",
    "range": "{{ range(10**9) }}",
    "types": "{{ -'a' }}",
    "hash": "{{ {[]: 1} }}",
    "undefined": "{{ x.y.z }}",
    "caller": "{{ caller() }}",
    "cycler": "{{ cycler() }}",
    "not JSON": "{{ namespace|tojson }}",
    "sort": "{{ [1, 'a']|sort }}",
    "dictsort": "{{ {}|dictsort(by='q') }}",
    "format argument": "{{ '%s'|format }}",
    "format index": "{{ '{5}'.format(1) }}",
    "refusal": "{{ raise_exception(1) }}",
}


def refused(group: str, name: str, source: str) -> str:
    with pytest.raises(BundleRuntimeError, match="the chat template") as caught:
        ChatTemplate(source, {"bos_token": "<s>"}).render(USER)
    record("template", {group: {"tried": 1, "held": 0, "refused": 1}})
    return str(caught.value)


@pytest.mark.parametrize("name", LARGE)
def test_no_template_makes_more_than_it_may(name: str) -> None:
    tracemalloc.start()
    try:
        said = refused("large", name, LARGE[name])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "the chat template is at fault: it" in said
    assert peak < 200_000_000


@pytest.mark.parametrize("name", SLOW)
def test_no_template_runs_for_long(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_budget, "SECONDS", 0.1)
    assert "the chat template" in refused("slow", name, SLOW[name])


@pytest.mark.parametrize("name", RAW)
def test_every_failure_names_the_template(name: str) -> None:
    refused("raw", name, RAW[name])


def test_a_long_conversation_has_room() -> None:
    """What honest templates do with it: write it piece by piece, slice it, and add to a text."""
    messages = [{"role": "user", "content": "word " * 2000}] * 200
    template = ChatTemplate(
        "{% set ns = namespace(text='') %}{% for m in messages[1:] + messages[:1] %}"
        "{% set ns.text = ns.text ~ m.role ~ (m.content|trim) ~ '\n' %}{% endfor %}"
        "{{ ns.text }}{{ messages|tojson(indent=2) }}", {},
    )  # fmt: skip
    text = template.render(messages)
    assert text.count("word") == 2 * 200 * 2000
