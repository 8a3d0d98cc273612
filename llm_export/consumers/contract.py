"""A contract: what one version of a consumer requires of a bundle, read from a YAML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib.abc import Traversable
from typing import Any

from llm_export.config.plain_yaml import read_plain
from llm_export.consumers.signature import TensorRule, parse_tensor
from llm_export.errors import InputError, LlmExportError, did_you_mean
from llm_export.json_data import from_json

SUFFIX = ".yaml"

HELD = ("text", "template", "token")
"""What a key of a JSON file may be required to hold: a text; a chat template as one text or a list
of named ones; a special token as a text or an object with its ``content``.
"""

TYPES = ("number", "numbers", "int", "ints", "bool", "string", "schema")
"""What a constant method may be required to return: one or several values that are read as numbers,
so that true is 1; ints; a bool; a text; the JSON text of a schema of all methods.
"""


@dataclass(frozen=True)
class FileRule:
    """A file.

    Attributes:
        holds: key of this JSON file -> one of ``HELD``.
    """

    holds: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ConstantRule:
    """A method that returns a constant.

    Attributes:
        type: one of ``TYPES``.
        value: what it must return; None: anything.
        optional: whether it may be missing.
        other_names: of methods that are taken instead.
    """

    type: str
    value: bool | None = None
    optional: bool = False
    other_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class MethodRule:
    """A method that computes. ``more``: whether it may take and return further tensors."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    more: bool = False

    def tensors(self, side: str) -> tuple[TensorRule, ...]:
        """``side``: inputs or outputs."""
        return tuple(parse_tensor(text) for text in getattr(self, side))


@dataclass(frozen=True, kw_only=True)
class Contract:
    """
    Attributes:
        title: the consumer for readers.
        files: path in the bundle -> what it must hold.
        constants: method -> what it must return.
        methods: forms of programs, each method -> its tensors; a program must be of one form.
        steps: whether the length of steps must be as ``enable_dynamic_shape`` says: any up to
            ``get_max_seq_len``, or else one token.
        vocabulary: equal, if the tokenizer must have as many tokens as the program.
        data_files: whether it takes weights that lie outside the program.
        operators: patterns of the operators in its libraries, as of ``fnmatch``; None: its builder
            chooses.
        backends: id of a delegate -> where the consumer's libraries have it; None: as above.
        reads, ignores: what it takes if it is there, and what it does not look at.
        app: what is left to the app.
        sources: field of this class -> page or file in which it is said.
    """

    name: str = ""
    version: str = ""
    title: str
    files: Mapping[str, FileRule]
    constants: Mapping[str, ConstantRule] = field(default_factory=dict)
    methods: tuple[Mapping[str, MethodRule], ...]
    steps: bool = False
    vocabulary: str = ""
    data_files: bool = False
    operators: tuple[str, ...] | None = None
    backends: Mapping[str, str] | None = None
    reads: Mapping[str, str] = field(default_factory=dict)
    ignores: tuple[str, ...] = ()
    app: tuple[str, ...] = ()
    sources: Mapping[str, str]

    @property
    def full_name(self) -> str:
        return f"{self.name}@{self.version}"


def read_contract(file: Traversable) -> Contract:
    """Read NAME@VERSION.yaml.

    Raises:
        InputError: it is not a contract; the message has the key.
    """
    where = str(file)
    name, at, version = file.name.removesuffix(SUFFIX).partition("@")
    if not at or not name or not version:
        raise InputError("a contract's file is named NAME@VERSION.yaml", where=where)
    try:
        body = read_plain(file)
        _require_types(body)
        contract = replace(from_json(Contract, body), name=name, version=version)
        _require_words(contract)
    except LlmExportError as error:
        raise InputError(
            error.what.replace("recipe", "contract"), where=error.where or where
        ) from None
    except ValueError as error:
        raise InputError(f"the contract is not valid: {error}", where=where) from None
    return contract


_PLAIN: Mapping[str, type] = {"title": str, "steps": bool, "vocabulary": str, "data_files": bool}


def _require_types(body: Mapping[str, Any]) -> None:
    for key in ("name", "version"):
        if key in body:
            raise ValueError(f"'{key}' is told by the file's name")
    for key, kind in _PLAIN.items():
        if key in body and not isinstance(body[key], kind):
            raise ValueError(f"{key}: not a {kind.__name__}")
    for key in ("backends", "reads", "sources"):
        for name, text in _items(body.get(key)):
            if not isinstance(text, str):
                raise ValueError(f"{key}.{name}: not a text")
    for key in ("operators", "ignores", "app"):
        _require_texts(body.get(key), key)


def _items(value: object) -> list[tuple[str, object]]:
    return list(value.items()) if isinstance(value, dict) else []


def _require_texts(value: object, key: str) -> None:
    if isinstance(value, Sequence) and any(not isinstance(text, str) for text in value):
        raise ValueError(f"{key}: not a list of texts")


def _require_words(contract: Contract) -> None:
    for path, rule in contract.files.items():
        for key, held in rule.holds.items():
            _one_of(held, HELD, f"files.{path}.holds.{key}")
    for name, constant in contract.constants.items():
        _one_of(constant.type, TYPES, f"constants.{name}.type")
        _one_of(constant.value, (None, True, False), f"constants.{name}.value")
        _require_texts(constant.other_names, f"constants.{name}.other_names")
    for index, form in enumerate(contract.methods):
        if not form:
            raise ValueError(f"methods[{index}]: a form has at least one method")
        for name, method in form.items():
            _require_tensors(method, f"methods[{index}].{name}")
    _one_of(contract.vocabulary, ("", "equal"), "vocabulary")
    for key in contract.sources:
        _one_of(key, [each.name for each in fields(Contract)], f"sources.{key}")
    if not contract.methods:
        raise ValueError("methods: at least one form is needed")


def _require_tensors(method: MethodRule, key: str) -> None:
    """A method takes at least the tokens, and returns at least the logits."""
    for side in ("inputs", "outputs"):
        _require_texts(getattr(method, side), f"{key}.{side}")
        if not method.tensors(side):
            raise ValueError(f"{key}.{side}: at least one tensor is needed")


def _one_of(word: object, known: Sequence[object], key: str) -> None:
    if word not in known:
        names = [str(each) for each in known]
        raise ValueError(f"{key}: there is no '{word}'; {did_you_mean(str(word), names)}")
