"""Take out of a module's syntax tree what a run never looks at: words for readers, types and self-checks.

Docstrings, annotations, ``if TYPE_CHECKING``, ``if __name__ == "__main__"`` and ``assert`` (as ``python -O``
leaves it out). What reads annotations at run time keeps them: dataclasses have fields because of theirs
(shortened to ``0``; ``ClassVar`` stays), custom operators of torch take their schema from theirs.
"""

from __future__ import annotations

import ast
from typing import Any

_READS_ANNOTATIONS = ("custom_op", "triton_op", "singledispatch")
_TYPED_BASES = ("NamedTuple", "TypedDict")


def stripped(tree: ast.Module) -> ast.Module:
    """``tree``, changed in place, doing the same with less."""
    tree = _Strip().visit(tree)
    for node in ast.walk(tree):
        body: Any = getattr(node, "body", None)
        if isinstance(body, list) and not body and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
    return ast.fix_missing_locations(tree)


class _Strip(ast.NodeTransformer):
    def __init__(self) -> None:
        self._fields: set[int] = set()  # ids of annotations that make a field

    def visit_Module(self, node: ast.Module) -> ast.AST:
        _drop_docstring(node)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        _drop_docstring(node)
        if not _mentions(node.decorator_list, _READS_ANNOTATIONS):
            node.returns = None
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            for argument in (*every, arguments.vararg, arguments.kwarg):
                if argument is not None:
                    argument.annotation = None
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        _drop_docstring(node)
        typed = _mentions(node.bases, _TYPED_BASES)
        if typed or _mentions(node.decorator_list, ("dataclass",)):
            for child in node.body:
                if isinstance(child, ast.AnnAssign):
                    self._fields.add(id(child))
                    if not typed and "ClassVar" not in ast.unparse(child.annotation):
                        child.annotation = ast.Constant(0)
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if id(node) in self._fields:
            return node
        if node.value is None:
            return None
        return self.generic_visit(ast.Assign([node.target], node.value, lineno=node.lineno))

    def visit_If(self, node: ast.If) -> Any:
        test = ast.unparse(node.test)
        if test in ("TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'"):
            return [new for child in node.orelse if (new := self.visit(child)) is not None] or None
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module == "__future__" else node

    def visit_Assert(self, node: ast.Assert) -> None:
        return None


def _drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> None:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and _is_text(first.value):
        node.body = node.body[1:]


def _is_text(node: ast.Constant) -> bool:
    return isinstance(node.value, str)


def _mentions(nodes: list[Any], words: tuple[str, ...]) -> bool:
    return any(word in ast.unparse(node) for node in nodes for word in words)
