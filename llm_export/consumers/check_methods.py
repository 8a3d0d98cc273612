"""The methods of a contract that compute, and the tensors that they take and return."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from llm_export.compat.program_methods import ProgramMethod, TensorMeta
from llm_export.consumers.contract import Contract, MethodRule
from llm_export.consumers.facts import BundleFacts, Unreadable
from llm_export.consumers.fixes import Fixes
from llm_export.consumers.signature import TensorRule
from llm_export.consumers.verdict import Row

Form = Mapping[str, MethodRule]


def form_of(facts: BundleFacts, contract: Contract) -> Form:
    """The form that a program has, or comes nearest to: of those with the most methods there, the
    one that most of its tensors fit."""
    return max(
        contract.methods,
        key=lambda form: (sum(name in facts.methods for name in form), _fitting(facts, form)),
    )


def _fitting(facts: BundleFacts, form: Form) -> int:
    pairs = [
        (rule, tensor)
        for name, method in form.items()
        if (found := facts.methods.get(name)) is not None and found.constants is None
        for side in ("inputs", "outputs")
        for rule, tensor in zip(method.tensors(side), getattr(found, side), strict=False)
    ]
    return sum(rule.mismatch(tensor, None) is None for rule, tensor in pairs)


def method_rows(facts: BundleFacts, contract: Contract, form: Form, fixes: Fixes) -> Iterator[Row]:
    for name, rule in form.items():
        method = facts.methods.get(name)
        if method is None or method.constants is not None:
            found = f"is not among {', '.join(_computing(facts)) or 'its methods'}"
            yield Row(f"method {name}", False, found, _other_kind(name))
            continue
        yield Row(f"method {name}", True, "is there")
        for side in ("inputs", "outputs"):
            yield from _tensor_rows(facts, contract, method, rule, side, fixes)


def step_rows(facts: BundleFacts, contract: Contract, form: Form, fixes: Fixes) -> Iterator[Row]:
    """A runner feeds ``get_max_seq_len`` tokens at a time if ``enable_dynamic_shape`` is true, and
    else one."""
    name = next(iter(form))
    method = facts.methods.get(name)
    tokens = method.inputs[0] if method and method.inputs else None
    if not contract.steps or not isinstance(tokens, TensorMeta) or len(tokens.sizes) != 2:
        return
    most, any_length = tokens.sizes[1], tokens.dynamic
    if facts.constant("enable_dynamic_shape"):
        length = facts.constant("get_max_seq_len")
        good = any_length and isinstance(length, int) and length <= most
        said = length if isinstance(length, int) else "an unknown number of"
        fed = f"fed up to {said} tokens at a time"
    else:
        good = any_length or most == 1
        fed = "fed one token at a time"
    found = f"{fed}, takes {'up to ' * any_length}{most}"
    yield Row("steps", good, found, "" if good else fixes.again())


def vocabulary_rows(facts: BundleFacts, contract: Contract, fixes: Fixes) -> Iterator[Row]:
    if contract.vocabulary != "equal":
        return
    try:
        tokens = facts.tokens
    except Unreadable:
        return  # its file has failed
    good = tokens == facts.vocabulary
    found = f"{facts.vocabulary} in the program, {tokens} in the tokenizer"
    yield Row("vocabulary", good, found, "" if good else fixes.again())


def _tensor_rows(
    facts: BundleFacts,
    contract: Contract,
    method: ProgramMethod,
    rule: MethodRule,
    side: str,
    fixes: Fixes,
) -> Iterator[Row]:
    rules, tensors = rule.tensors(side), getattr(method, side)
    fits = len(tensors) >= len(rules) if rule.more else len(tensors) == len(rules)
    if not fits:
        yield Row(
            f"{method.name} {side}", False, f"{len(tensors)}, not {len(rules)}",
            fixes.with_backend(contract, "runtime.attention=auto"),
        )  # fmt: skip
    for index, wanted in enumerate(rules[: len(tensors)]):
        what = f"{method.name} {side[:-1]} {index}"
        wrong = wanted.mismatch(tensors[index], facts.vocabulary)
        if wrong:
            found = f"{tensors[index]} {wrong.text}, not {wanted.text}"
            yield Row(what, False, found, _mend(contract, side, wanted, wrong.kind, fixes))
        else:
            yield Row(what, True, str(tensors[index]))


def _computing(facts: BundleFacts) -> list[str]:
    return [m.name for m in facts.methods.values() if m.constants is None and m.inputs]


def _other_kind(name: str) -> str:
    return f"it is for programs of another kind, with a method '{name}'"


def _mend(contract: Contract, side: str, wanted: TensorRule, kind: str, fixes: Fixes) -> str:
    if kind == "fixed" and side == "inputs" and len(wanted.dims) == 1:
        return (
            "no recipe exports a position for each token, since the decoder takes that of the "
            "first one: run it with ExecuTorch's MultimodalRunner (--for et_cpp_multimodal)"
        )
    if side == "outputs":
        return fixes.again() if kind == "rank" else fixes.with_keys("runtime.logits=last")
    if kind == "fixed":
        return fixes.with_backend(contract, "runtime.dynamic_shapes=true", dynamic=True)
    return fixes.with_backend(contract)
