"""Parameters that no call names become positional-only, so that the minifier may shorten them where they stand.

Names are followed, values are not. Of a function that is only ever called, by its own name, a parameter may be
shortened unless a call by that name says it; of one that is handed on (stored, passed, registered, overriding, special)
unless any call says it, or any string, of which keywords may be made; of one that another package gets, or decorates,
nothing may. Whoever calls a method that a base from another package has too knows the parameters of that one.

Whether it is called by its name or handed on is told by names alone, over all modules: of two functions of one name,
what is said of one holds for both.
"""

from __future__ import annotations

import ast
import builtins
import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

# Decorators that make something of what they decorate and do nothing else; any other may register it somewhere.
QUIET_DECORATORS = frozenset(
    [
        "abstractmethod",
        "cache",
        "cached_property",
        "classmethod",
        "contextmanager",
        "dataclass",
        "final",
        "getter",
        "inference_mode",
        "jit",
        "lru_cache",
        "njit",
        "no_grad",
        "overload",
        "override",
        "property",
        "register_jitable",
        "runtime_checkable",
        "setter",
        "staticmethod",
        "total_ordering",
        "vectorize",
        "wraps",
    ]
)
_WORD = re.compile(r"[A-Za-z_]\w*")
_LOOSE = ""  # the callee of a call that may reach whatever was handed on: a variable, an attribute
_LOOKED_UP = "()"  # what a call returned; with ``**`` so is only called what the config names, see ``pgolf.core.make``
_OURS_TO_CALL = ("__init__", "__call__", "__new__")
_ASKS_OF_CLASSES = ("isinstance", "issubclass")
_Function: TypeAlias = ast.FunctionDef | ast.Lambda


@dataclass(slots=True)
class _Said:
    """What a module's text says; of each name, what it has where it was made."""

    keywords: dict[str, set[str]] = field(default_factory=dict)  # by callee
    spread: set[str] = field(default_factory=set)  # callees of calls with ``**``
    passed_on: set[str] = field(default_factory=set)  # callees of calls with a function's own ``**``
    handed: set[str] = field(default_factory=set)  # what is used other than by calling it
    fixed: set[str] = field(default_factory=set)  # what another package gets or decorates
    strings: set[str] = field(default_factory=set)
    bases: list[tuple[str, str]] = field(default_factory=list)  # (class, base)


def positional(
    trees: Mapping[str, ast.Module], words: Iterable[str], foreign: Mapping[str, Iterable[str]]
) -> dict[str, ast.Module]:
    """``trees`` with what may be shortened made positional-only; the same tree for the same answer.

    ``words``: strings of the config, which may name classes, functions and keywords. ``foreign``: parameters by method,
    of the base classes from other packages.
    """
    rule = _Rule([_said(tree) for tree in trees.values()], frozenset(words), foreign)
    return {name: _marked(tree, tuple(map(rule.count, _functions(tree)))) for name, tree in trees.items()}


class _Rule:
    """How many parameters of a function may become positional-only."""

    def __init__(self, said: Sequence[_Said], words: frozenset[str], foreign: Mapping[str, Iterable[str]]) -> None:
        self._words, self._foreign = words, foreign
        self._keywords: dict[str, set[str]] = {}
        self._heirs: dict[str, set[str]] = {}
        for one in said:
            for callee, keywords in one.keywords.items():
                self._keywords.setdefault(callee, set()).update(keywords)
            for name, base in one.bases:
                self._heirs.setdefault(base, set()).add(name)
        self._spread = set().union(*(one.spread for one in said))
        self._passed_on = set().union(*(one.passed_on for one in said))
        self._handed = set().union(*(one.handed for one in said))
        self._fixed = set().union(*(one.fixed for one in said))
        self._all = set().union(*self._keywords.values())
        self._any = self._all.union(words, *(one.strings for one in said))
        self._loose = self._of_callee(_LOOSE)

    def count(self, function: tuple[_Function, str]) -> int:
        """Counted from the first: behind one that keeps its name none can be positional-only."""
        node, owner = function
        stay = self._stay(node, owner)
        every = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        if stay is None:
            return 0
        is_static = isinstance(node, ast.FunctionDef) and "staticmethod" in map(_last, node.decorator_list)
        first = 1 if owner and not is_static else 0  # ``self`` is no keyword
        return next((place for place, name in enumerate(every) if place >= first and name in stay), len(every))

    def _stay(self, node: _Function, owner: str) -> set[str] | None:
        """Parameters that keep their names; None for all."""
        if isinstance(node, ast.Lambda):
            return self._loose
        if node.name in self._fixed:
            return None
        if node.name == "__init__":
            return self._of_class(owner)
        stay = self._of_name(node.name)
        if owner and node.name in self._foreign:
            return stay.union(self._loose, self._foreign[node.name])
        return stay | self._loose if node.name.startswith("__") else stay

    def _of_name(self, name: str) -> set[str]:
        if name in self._words:
            return self._any
        stay = self._of_callee(name)
        return stay | self._loose if name in self._handed else stay

    def _of_callee(self, name: str) -> set[str]:
        if name in self._spread:
            return self._any
        return self._all if name in self._passed_on else self._keywords.get(name, set())

    def _of_class(self, name: str) -> set[str] | None:
        """Of its constructor: what is said where it, or an heir that may have no other, is made."""
        family, new = {name}, {name}
        while new:
            new = set().union(*(self._heirs.get(name, ()) for name in new)) - family
            family |= new
        if family & self._fixed:
            return None
        return set().union(*map(self._of_name, ("__init__", "cls", *family)))


def _functions(tree: ast.AST, owner: str = "") -> Iterator[tuple[_Function, str]]:
    """Every function and lambda, and the class it is a method of."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, _Function):
            yield child, owner
        yield from _functions(child, child.name if isinstance(child, ast.ClassDef) else "")


@lru_cache(maxsize=4096)
def _marked(tree: ast.Module, counts: tuple[int, ...]) -> ast.Module:
    changed = copy.deepcopy(tree)
    for (node, _), count in zip(_functions(changed), counts, strict=True):
        every = [*node.args.posonlyargs, *node.args.args]
        node.args.posonlyargs, node.args.args = every[:count], every[count:]
    return changed


@lru_cache(maxsize=4096)
def _said(tree: ast.Module) -> _Said:
    return _Listener(tree).said


class _Listener:
    """Reads one module."""

    def __init__(self, tree: ast.Module) -> None:
        self.said = _Said()
        nodes = list(ast.walk(tree))
        inside = {id(child) for node in nodes if isinstance(node, ast.ClassDef) for child in node.body}
        made = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        methods = {node.name for node in made if id(node) in inside}
        # Names of this module that are functions or classes: as each is called where it was made.
        self._plain = {node.name: node.name for node in made if id(node) not in inside}
        imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
        ours = [node for node in imports if node.level or str(node.module).partition(".")[0] == "pgolf"]
        self._plain |= {alias.asname or alias.name: alias.name for node in ours for alias in node.names}
        self._foreign = {alias.asname or alias.name for node in imports if node not in ours for alias in node.names}
        # What a special method is given to call comes from Python or another package.
        special = [n for n in nodes if isinstance(n, ast.FunctionDef) and n.name.startswith("__")]
        special = [node for node in special if node.name not in _OURS_TO_CALL]
        self._given = {
            id(child.func)
            for node in special
            for child in ast.walk(node)
            if isinstance(child, ast.Call) and ast.unparse(child.func) in {a.arg for a in node.args.args}
        }
        self._own_keywords = {n.kwarg.arg for n in nodes if isinstance(n, ast.arguments) and n.kwarg}
        self._spared: set[int] = set()  # names that are called, looked into or asked about, and not handed on
        for node in nodes:
            self._hear(node)
        for node in nodes:
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and id(node) not in self._spared:
                self.said.handed.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in self._spared:
                name = self._plain.get(node.id, node.id if node.id in methods else None)
                self.said.handed |= {name} if name else set()

    def _hear(self, node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            self._hear_call(node)
        elif isinstance(node, ast.Attribute):
            self._spared.add(id(node.value))
        elif isinstance(node, ast.ExceptHandler) and node.type is not None:
            self._spared.update(map(id, ast.walk(node.type)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _WORD.fullmatch(node.value):
            self.said.strings.add(node.value)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            self.said.strings.add(node.target.id)  # a field, which is a keyword of its class
        elif isinstance(node, ast.ClassDef):
            for base in node.bases:
                self.said.bases.append((node.name, self._there(base)))
                self._spared.add(id(base))
        elif isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                self._hear_decorator(node.name, decorator)

    def _hear_call(self, node: ast.Call) -> None:
        self._spared.add(id(node.func))
        callees = {self._there(node.func)}
        if not (isinstance(node.func, ast.Name) and self._is_known(node.func)):
            callees.add(_LOOSE)  # a method, or whatever is in a variable, an attribute or elsewhere
        if callees & set(_ASKS_OF_CLASSES):
            self._spared.update(id(part) for argument in node.args[1:] for part in ast.walk(argument))
        for keyword in node.keywords:
            for callee in callees:
                if keyword.arg is None:
                    own = isinstance(keyword.value, ast.Name) and keyword.value.id in self._own_keywords
                    if callee != _LOOSE or not isinstance(node.func, ast.Call):
                        (self.said.passed_on if own else self.said.spread).add(callee)
                else:
                    self.said.keywords.setdefault(callee, set()).add(keyword.arg)
        if isinstance(node.func, ast.Name) and (node.func.id in self._plain or hasattr(builtins, node.func.id)):
            return  # no builtin calls what it is given by keyword
        for value in (*node.args, *(keyword.value for keyword in node.keywords)):
            if isinstance(value, ast.Name) and value.id in self._plain:
                self.said.fixed.add(self._plain[value.id])

    def _is_known(self, callee: ast.Name) -> bool:
        name = callee.id
        return name in self._plain or name in self._foreign or hasattr(builtins, name) or id(callee) in self._given

    def _hear_decorator(self, name: str, decorator: ast.expr) -> None:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        last = self._there(called)
        if last in QUIET_DECORATORS:
            return
        ours = isinstance(called, ast.Name) and called.id in self._plain
        (self.said.handed if ours else self.said.fixed).add(name)

    def _there(self, node: ast.expr) -> str:
        """The last part of a dotted name, as it is called where it was made; _LOOKED_UP for anything else."""
        if isinstance(node, ast.Subscript):
            return self._there(node.value)
        if isinstance(node, ast.Attribute):
            return node.attr
        return self._plain.get(node.id, node.id) if isinstance(node, ast.Name) else _LOOKED_UP


def _last(node: ast.expr) -> str:
    return ast.unparse(node).rpartition(".")[2]
