"""Answers that have to follow a JSON schema, a regular expression, a grammar or a choice."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
from constraint_tools import byte_tokenizer, walk
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers

from llm_export.cli.constraint_args import add_constraint, constraint_of
from llm_export.errors import LlmExportError
from runtime_py import LLM, ArgumentError, BundleRuntimeError
from runtime_py.constraints import (
    Choice,
    Constraint,
    Grammar,
    JsonSchema,
    Regex,
    json_object,
    response_format,
)
from runtime_py.constraints.compiler import Compiler
from runtime_py.tokenizer import TextStream, TextTokenizer

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "mood": {"enum": ["so-so", "😀 glad", "☹ sad"]},
    },
    "required": ["name", "age", "mood"],
    "additionalProperties": False,
}
ANYTHING = Grammar('%llguidance {"allow_invalid_utf8": true}\nstart: /(.|\\n)*/')


@pytest.fixture(scope="module")
def loaded(portable_bundle: Path) -> LLM:
    return LLM.load(portable_bundle)


@pytest.fixture
def llm(loaded: LLM) -> LLM:
    loaded.reset()
    return loaded


@pytest.fixture(scope="module")
def bytewise(tmp_path_factory: pytest.TempPathFactory) -> tuple[Compiler, TextTokenizer]:
    tokenizer = byte_tokenizer(tmp_path_factory.mktemp("t"), ["<|x|>"])
    return Compiler(tokenizer, None), tokenizer


TEXTS = st.sampled_from(["a", "né", "😀", 'q"', "\\", "two words", "\n", "<|x|>", ""])
LEAVES = st.one_of(
    st.builds(lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more},
              st.integers(-99, 99), st.integers(0, 500)),
    st.builds(lambda n: {"type": "string", "maxLength": n}, st.integers(0, 4)),
    st.builds(lambda each: {"enum": each}, st.lists(TEXTS, min_size=1, max_size=3, unique=True)),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": 1.5}, {"enum": [None, 3]},
                     {"type": "string", "pattern": "^[a-c]{2}$"}]),
)  # fmt: skip


def _object(properties: dict[str, Any], required: bool) -> dict[str, Any]:
    made = {"type": "object", "properties": properties, "additionalProperties": False}
    return made | ({"required": list(properties)} if required else {})


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(_object, st.dictionaries(TEXTS, inner, max_size=3), st.booleans()),
        st.builds(lambda i, n: {"type": "array", "items": i, "maxItems": n}, inner,
                  st.integers(0, 2)),
        st.builds(lambda each: {"anyOf": each}, st.lists(inner, min_size=1, max_size=2)),
    ),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(SCHEMAS, st.integers(0, 9), st.booleans())
def test_json_of_any_schema_is_valid(
    bytewise: tuple[Compiler, TextTokenizer], schema: dict[str, Any], seed: int, compact: bool
) -> None:
    compiler, tokenizer = bytewise
    tokens, complete = walk(compiler, tokenizer, JsonSchema(schema, compact=compact), seed)
    assert complete
    jsonschema.validate(json.loads(tokenizer.decode(tokens)), schema)


@pytest.mark.parametrize(
    "pattern",
    [r"[A-Z][a-z]{2} is \d{1,3}\.", "^ab$", "a/b", r"a\/[b/]", "a\nb|c", r"\\", "", "(é|😀){1,3}",
     r"(?i)yes|no", r"\d{3}-\d{4}"],
)  # fmt: skip
def test_a_regex_matches_the_whole_answer(
    bytewise: tuple[Compiler, TextTokenizer], pattern: str
) -> None:
    for seed in range(2):
        tokens, complete = walk(*bytewise, Regex(pattern), seed)
        assert complete
        assert re.fullmatch(pattern, bytewise[1].decode(tokens))


def test_a_choice_is_one_of_its_texts(bytewise: tuple[Compiler, TextTokenizer]) -> None:
    options = ['a"b', "c\\d", "e\nf", "😀", "e", "[x]", "/y/", "<|x|>"]
    found = {bytewise[1].decode(walk(*bytewise, Choice(options), s)[0]) for s in range(12)}
    assert found <= {*options}
    assert len(found) > 3


def test_characters_of_several_tokens_come_whole(
    bytewise: tuple[Compiler, TextTokenizer],
) -> None:
    compiler, tokenizer = bytewise
    tokens, _ = walk(compiler, tokenizer, JsonSchema({"const": "né😀漢"}, compact=True), 1)
    stream = TextStream(tokenizer)
    pieces = [*map(stream.push, tokens), stream.flush()]
    assert "".join(pieces) == '"né😀漢"'
    assert not any("�" in piece for piece in pieces)


def test_an_answer_of_a_model_follows(llm: LLM) -> None:
    """With every setting of sampling, and reproducibly."""
    more: list[dict[str, Any]] = [
        {}, {"temperature": 1.2, "top_p": 0.9, "top_k": 40, "min_p": 0.01, "typical_p": 0.9},
        {"repetition_penalty": 1.5, "presence_penalty": 0.5, "frequency_penalty": 0.5},
        {"temperature": 2.0, "logprobs": 2}, {"ignore_eos": True}, {"stop_ids": [7]},
    ]  # fmt: skip
    both = JsonSchema(PERSON), JsonSchema(json.dumps(PERSON), compact=True)
    for index, setting in enumerate(more):
        answer = llm.generate("x", constraint=both[index % 2], seed=5, **setting)
        assert answer.finish == "eos"
        jsonschema.validate(json.loads(answer.text), PERSON)
        assert len(answer.logprobs) == (len(answer.tokens) if "logprobs" in setting else 0)


def test_answers_are_reproducible(llm: LLM) -> None:
    first, again, other = (
        llm.generate("x", constraint=JsonSchema(PERSON), temperature=2.0, seed=seed).tokens
        for seed in (5, 5, 6)
    )
    assert first == again != other


def test_what_must_follow_is_fed_at_once(llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[int] = []
    extend = llm._cache.extend

    def counted(ids: list[int]) -> Any:
        fed.append(len(ids))
        return extend(ids)

    monkeypatch.setattr(llm._cache, "extend", counted)
    rules = Grammar('start: "The answer is " /[0-9]/ ", and that is all."')
    answer = llm.generate("x", constraint=rules)
    assert re.fullmatch("The answer is [0-9], and that is all.", answer.text)
    assert len(fed) <= 2 < len(answer.tokens)
    assert llm._cache.ids[-3:] != answer.tokens[-3:]  # nothing of the end is fed
    whole = llm.generate("x", constraint=rules, logprobs=0)
    assert (whole.text, whole.tokens) == (answer.text, answer.tokens)
    assert {*fed[len(fed) - len(whole.tokens) + 1 :]} == {1}
    # Neither length nor context is exceeded on the way.
    assert len(llm.generate("x", constraint=rules, max_new_tokens=4).tokens) == 4
    prompt = [5] * (llm.program.context_length - 3)
    cut = llm.generate(prompt, constraint=rules)
    assert (cut.finish, len(cut.tokens)) == ("context", 4)


def test_a_constraint_that_allows_everything_changes_nothing(llm: LLM) -> None:
    for prompt in ("x", "Once", [5, 6, 7]):
        plain = llm.generate(prompt, max_new_tokens=24, logit_bias={318: -1e9})
        same = llm.generate(prompt, max_new_tokens=24, logit_bias={318: -1e9}, constraint=ANYTHING)
        assert (same.text, same.tokens, same.finish) == (plain.text, plain.tokens, plain.finish)


def test_how_an_answer_ends(llm: LLM) -> None:
    whole = llm.generate("x", constraint=Choice(["yes", "no"]))
    assert whole.finish == "eos"  # without an end of the model's own: nothing can follow
    assert not llm.tokenizer.eos_ids.intersection(whole.tokens)
    cut = llm.generate("x", constraint=JsonSchema(PERSON), max_new_tokens=3)
    assert cut.finish == "length"
    stopped = llm.generate("x", constraint=Choice(["one two"]), stop="tw")
    assert (stopped.text, stopped.finish) == ("one ", "stop")
    # A token that ends answers may come where the grammar ends, and only there.
    eos = min(llm.tokenizer.eos_ids)
    forward = {eos: 1e9}
    ended = llm.generate("x", constraint=Regex("ab?c?"), logit_bias=forward)
    assert (ended.text, ended.finish, ended.tokens[-1]) == ("a", "eos", eos)
    further = llm.generate("x", constraint=Regex("ab?c?"), logit_bias=forward, ignore_eos=True)
    assert re.fullmatch("ab?c?", further.text)
    assert eos not in further.tokens[:-1]
    id7 = llm.generate("x", constraint=Regex("ab?c?"), logit_bias={7: 1e9}, stop_ids=[7])
    assert (id7.text, id7.finish, id7.tokens[-1]) == ("a", "stop", 7)


def test_each_answer_begins_anew(llm: LLM) -> None:
    rules = Choice(["red", "green", "blue"])
    answers = llm.n_best("x", 4, constraint=rules, temperature=5.0, seed=1)
    assert {answer.text for answer in answers} <= {*rules.options}
    assert len({answer.text for answer in answers}) > 1
    streamed = "".join(llm.stream("x", constraint=rules))
    assert streamed in rules.options
    assert llm.chat("x", constraint=rules).text in rules.options
    assert len(llm._decoder.constraints._matchers) <= 32


def test_a_bias_and_a_processor_choose_among_what_is_allowed(llm: LLM) -> None:
    rules = Choice(["yes", "no"])
    first = llm.tokenizer.encode("n", raw=False)[0]
    assert llm.generate("x", constraint=rules, logit_bias={first: 1e9}).text == "no"

    def wants_no(ids: list[int], logits: Any) -> Any:
        logits[first] = 1e9
        return logits

    assert llm.generate("x", constraint=rules, logits_processor=wants_no).text == "no"
    with pytest.raises(BundleRuntimeError, match=r"(?s)no logit.*which the constraint allows"):
        llm.generate("x", constraint=Choice(["y"]), logit_bias=dict.fromkeys(range(320), -math.inf))


WRONG: dict[str, tuple[Any, str]] = {
    "no constraint": (lambda m: m.generate("x", constraint="a+"), "must be a JsonSchema, Regex"),
    "no constraint in chat": (lambda m: m.chat("x", constraint={"type": "object"}), "JsonSchema"),
    "no schema": (lambda m: JsonSchema([1]), "must be a mapping or its JSON text, not \\[1\\]"),
    "no JSON": (lambda m: JsonSchema("{"), "not valid JSON: .*line 1 column 2"),
    "a set": (lambda m: JsonSchema({"enum": {1}}), "not valid JSON: .*set"),
    "compact": (lambda m: JsonSchema({}, compact=cast(Any, 1)), "compact must be true or false"),
    "a type": (lambda m: JsonSchema({"properties": {"a": {"type": "strin"}}}),
               r"not valid at \$\.properties\.a\.type: 'strin'"),
    "false": (lambda m: JsonSchema(False), "Unsatisfiable schema"),
    "lengths": (lambda m: JsonSchema({"type": "string", "minLength": 5, "maxLength": 2}),
                "minLength .5. is greater than maxLength"),
    "keywords": (lambda m: JsonSchema({"type": "array", "prefixItems": [{"not": {}}], "not": {}}),
                 "cannot be enforced: #/prefixItems/0/not, #/not\n"),
    "keyword": (lambda m: JsonSchema({"type": "object", "properties": {"contains": {
                "type": "array", "contains": {}}}}), "enforced: #/properties/contains/contains\n"),
    "a reference": (lambda m: JsonSchema({"$ref": "#/$defs/no"}), "Pointer '/\\$defs/no' does not"),
    "a format": (lambda m: JsonSchema({"type": "string", "format": "foo"}), "Unknown format: foo"),
    "regex": (lambda m: Regex("a(b"), r"'a\(b' cannot be used: .*unclosed group\n  fix"),
    "look-around": (lambda m: Regex("(?=x)"), "look-around"),
    "no text": (lambda m: Regex(cast(Any, 3)), "a regex must be a text, not 3"),
    "grammar": (lambda m: Grammar("start: A"), r"at 1\(8\): unknown name: \"A\""),
    "no grammar": (lambda m: Grammar(cast(Any, None)), "a grammar must be a text, not None"),
    "no answer": (lambda m: m.generate("x", constraint=Grammar("start: start")), "no token of"),
    "special": (lambda m: m.generate("x", constraint=Grammar("start: <|no|>")),
                "does not fit this model: .*unknown special token"),
    "choice": (lambda m: Choice("yes"), "a choice must be a list of texts"),
    "empty choice": (lambda m: Choice([]), "that are not empty, not \\[\\]"),
    "empty text": (lambda m: Choice(["a", ""]), "that are not empty"),
    "format": (lambda m: response_format({"type": "xml"}), "type of text, json_object, json_sch"),
    "format text": (lambda m: response_format("json"), "not 'json'"),
    "format schema": (lambda m: response_format({"type": "json_schema"}), "has no schema"),
    "format's schema": (lambda m: response_format({"type": "json_schema", "json_schema": {
                        "schema": {"type": "array", "uniqueItems": True}}}), "#/uniqueItems"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_constraints_are_named(llm: LLM, case: str) -> None:
    call, words = WRONG[case]
    with pytest.raises(ArgumentError) as caught:
        call(llm)
    caught.match(f"(?s){words}")


def test_a_model_without_the_characters_says_so(tmp_path: Path) -> None:
    made = Tokenizer(models.WordLevel({"a": 0, "b": 1, "</s>": 2}, unk_token="</s>"))
    made.save(str(tmp_path / "tokenizer.json"))
    tokenizer = TextTokenizer(tmp_path / "tokenizer.json", bos_id=None, eos_ids=[2], add_bos=False)
    with pytest.raises(BundleRuntimeError, match="no token of the vocabulary can go on"):
        Compiler(tokenizer, 3).start(Choice(["é"]))


def test_without_the_package_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(BundleRuntimeError) as caught:
        Regex("a")
    caught.match(r'(?s)needs the package llguidance.*pip install "llm-export\[constrained\]"')


def test_the_forms_of_the_openai_api() -> None:
    inner = {"name": "person", "schema": PERSON, "strict": True}
    for form in ({"type": "json_schema", "json_schema": inner}, {"type": "json_schema", **inner}):
        made = response_format(form)
        assert isinstance(made, JsonSchema)
        assert made.schema == PERSON
    made = response_format({"type": "json_object"})
    assert isinstance(made, JsonSchema)
    assert made.schema == json_object().schema
    assert response_format({"type": "text"}) is response_format(None) is None


def test_flags_of_the_command_line(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_constraint(parser)
    (tmp_path / "g").write_text('start: "a"')
    (tmp_path / "s").write_text('{"type": "null"}')

    def made(*words: str) -> Constraint | None:
        return constraint_of(parser.parse_args(words)).get("constraint")

    assert made() is None
    assert made("--choice", "a,b").options == ("a", "b")  # type: ignore[union-attr]
    assert made("--regex", "a+").pattern == "a+"  # type: ignore[union-attr]
    assert made("--grammar", str(tmp_path / "g")).lark == 'start: "a"'  # type: ignore[union-attr]
    for schema in (str(tmp_path / "s"), '{"type": "null"}'):
        assert made("--json-schema", schema).schema == {"type": "null"}  # type: ignore[union-attr]
    for words, said in ((("--json-schema", "/no"), "cannot be read"), (("--regex", "("), "group")):
        with pytest.raises(LlmExportError, match=said):
            made(*words)


def _sentencepiece(decoder: Any) -> Tokenizer:
    pieces = {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2, **pieces, "▁": 259, "a": 260, "▁a": 261, "b": 262}
    model = models.BPE(vocab=vocab, merges=[("▁", "a")], byte_fallback=True, unk_token="<unk>")
    made = Tokenizer(model)
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoder
    made.add_special_tokens(["<unk>", "<s>", "</s>"])
    return made


BYTES = [decoders.ByteFallback(), decoders.Fuse()]
TOKENIZERS = {
    "Llama 2": _sentencepiece(
        decoders.Sequence([decoders.Replace("▁", " "), *BYTES, decoders.Strip(" ", 1, 0)])
    ),
    "metaspace": _sentencepiece(decoders.Sequence([*BYTES, decoders.Metaspace()])),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokenizers_of_every_kind(name: str, tmp_path: Path) -> None:
    TOKENIZERS[name].save(str(tmp_path / "tokenizer.json"))
    for ends in ([2], []):
        tokenizer = TextTokenizer(
            tmp_path / "tokenizer.json", bos_id=None, eos_ids=ends, add_bos=False
        )
        compiler = Compiler(tokenizer, tokenizer.size + 3)
        for seed in range(3):
            tokens, complete = walk(compiler, tokenizer, Choice(["ab a😀", "b a😀"]), seed)
            assert complete
            assert tokenizer.decode(tokens).strip() in ("ab a😀", "b a😀")


def test_turns_of_a_session_have_constraints_of_their_own(llm: LLM) -> None:
    with llm.session() as session:
        first = session.send("Is ice warm?", constraint=Choice(["yes", "no"]))
        second = session.send("Who?", constraint=JsonSchema(PERSON, compact=True))
        fork = session.fork()
        third = session.send("Sure?", constraint=Regex("[yn]{3}"))
        same = fork.send("Sure?", constraint=Regex("[yn]{3}"))
    assert first.text in ("yes", "no")
    jsonschema.validate(json.loads(second.text), PERSON)
    assert second.stats.cached_tokens > 0
    assert re.fullmatch("[yn]{3}", third.text)
    assert third.tokens == same.tokens
