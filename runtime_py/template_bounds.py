"""Jinja's sandbox, with a limit on what a template computes: see template_budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter

from runtime_py.template_budget import budget
from runtime_py.template_limits import check_format_spec, check_method, check_operator


class BoundedCode(CodeGenerator):
    """Adds to the code of a template a call for each block, ``~`` and literal with items."""

    def blockvisit(self, nodes: Iterable[nodes.Node], frame: Frame) -> None:
        self.writeline("environment.tick()")
        super().blockvisit(nodes, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.joined(context.eval_ctx.autoescape, (")
        for item in node.nodes:
            self.visit(item, frame)
            self.write(", ")
        self.write("))")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:
        self._bounded(super().visit_List, node, frame)

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:
        if node.ctx != "load":  # the targets of an assignment
            super().visit_Tuple(node, frame)
        else:
            self._bounded(super().visit_Tuple, node, frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        self._bounded(super().visit_Dict, node, frame)

    def _bounded(self, visit: Callable[[Any, Frame], None], node: Any, frame: Frame) -> None:
        self.write("environment.kept(")
        visit(node, frame)
        self.write(")")


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Renders within ``template_budget.budgeted`` only."""

    code_generator_class = BoundedCode
    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        texts = list(parts)
        budget().tick()
        budget().expect(sum(map(len, texts)))
        return "".join(texts)

    def tick(self) -> None:
        budget().tick()

    def kept(self, value: Any) -> Any:
        return budget().kept(value)

    def joined(self, escapes: bool, parts: tuple[Any, ...]) -> str:
        """The operator ``~``."""
        from jinja2.runtime import markup_join, str_join

        left = budget()
        left.tick()
        left.expect(sum(left.weigh(part).size for part in parts))
        return markup_join(parts) if escapes else str_join(parts)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        check_operator(budget(), operator, left, right)
        made = super().call_binop(context, operator, left, right)
        return budget().kept(made)

    def call(
        __self,
        __context: Context,
        __obj: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        check_method(budget(), __obj, args, kwargs)
        return budget().kept(super().call(__context, __obj, *args, **kwargs))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """``str.format`` with limited widths; the sandbox's own leaves them open."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None

        def bounded(*args: Any, **kwargs: Any) -> str:
            text, whole = value.__self__, value.__name__ == "format"
            given = (args, kwargs) if whole or len(args) != 1 else ((), args[0])
            # A dry run, since the sandbox makes its formatter itself.
            _Measure(self).vformat(text, *given)
            return wrapped(*args, **kwargs)

        return bounded


class _Measure(SandboxedFormatter):
    def format_field(self, value: Any, format_spec: str) -> Any:
        check_format_spec(budget(), value, format_spec)
        return super().format_field(value, format_spec)
