"""Take out of a module's syntax tree what only type checkers and self-checks look at, before names are followed.

Annotations, ``if TYPE_CHECKING``, ``if __name__ == "__main__"`` and ``assert`` (as ``python -O`` leaves it out):
names that occur nowhere else are then not reached. What reads annotations at run time keeps them: dataclasses have
fields because of theirs (shortened to ``0``; ``ClassVar`` stays), custom operators of torch take their schema from
theirs. The minifier, which knows one rule for all annotations of a module, gets what is left.
"""

from __future__ import annotations

import ast
from typing import Any

_READS_ANNOTATIONS = ("custom_op", "triton_op", "singledispatch")
_TYPED_BASES = ("NamedTuple", "TypedDict")
_NEVER_TRUE = ("TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'")


def stripped(tree: ast.Module) -> ast.Module:
    """``tree``, changed in place, doing the same with less. What is gone left ``pass``, so no body is empty.

    New nodes have a line only where ``ast.unparse`` looks for one.
    """
    result: ast.Module = _Strip().visit(tree)
    return result


class _Strip(ast.NodeTransformer):
    def __init__(self) -> None:
        self._fields: set[int] = set()  # ids of annotations that make a field

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if not _mentions(node.decorator_list, _READS_ANNOTATIONS):
            node.returns = None
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            for argument in (*every, arguments.vararg, arguments.kwarg):
                if argument is not None:
                    argument.annotation = None
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        typed = _mentions(node.bases, _TYPED_BASES)
        if typed or _mentions(node.decorator_list, ("dataclass",)):
            for child in node.body:
                if isinstance(child, ast.AnnAssign):
                    self._fields.add(id(child))
                    if not typed and "ClassVar" not in ast.unparse(child.annotation):
                        child.annotation = ast.Constant(0)
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if id(node) in self._fields:
            return node
        if node.value is None:
            return ast.Pass()
        return self.generic_visit(ast.Assign([node.target], node.value, lineno=node.lineno))

    def visit_If(self, node: ast.If) -> ast.AST:
        if ast.unparse(node.test) in _NEVER_TRUE:
            if not node.orelse:
                return ast.Pass()
            node.test, node.body = ast.Constant(False), [ast.Pass()]  # the minifier leaves only the else
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        return ast.Pass() if node.module == "__future__" else node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        return ast.Pass()


def _mentions(nodes: list[Any], words: tuple[str, ...]) -> bool:
    return any(word in ast.unparse(node) for node in nodes for word in words)
