"""Short names for what only the bundle itself can name, across all of its modules.

Renamed are, everywhere alike: definitions at a module's top that are used as plain names only (never behind a
dot, where the same word may be someone else's), private attributes and methods (``_name``), and inside functions
what they assign and those parameters that no call passes by keyword. Kept is every word that occurs as a string
or in the config, which may be looked up by it; every public attribute, because the names of weights and the keys
of records are made of them; and the parameters of what other packages may call.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import keyword
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BUILTINS = frozenset(dir(builtins))
_SEES_NAMES = frozenset(("locals", "vars", "eval", "exec", "dir"))
_CALLED_AS_WE_CALL_IT = ("__init__", "forward")  # of classes with foreign bases
_WORD = re.compile(r"-*([A-Za-z_][\w.-]*)")


@dataclass(slots=True)
class _Facts:
    """How words are used in all modules together."""

    fixed: set[str]  # must stay whatever they are used for
    keywords: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    handed_on: set[str] = field(default_factory=set)  # used as values, or called with ** somewhere
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    every: set[str] = field(default_factory=set)


def shorten(trees: Mapping[str, ast.Module], words: Iterable[str], outside: Iterable[str]) -> None:
    """Rename in all modules, in place.

    ``words``: strings that may name things; ``outside``: attributes of base classes from other packages.
    """
    facts = _gather(trees, words)
    names = _top_names(trees, facts) | _private_names(trees, facts, set(outside))
    fresh = (name for name in _short_names() if name not in facts.every)
    by_use = sorted(names, key=lambda name: (-names[name], name))
    short = {name: next(fresh) for name in by_use}
    _apply(trees, short)
    facts.handed_on = {short.get(name, name) for name in facts.handed_on}
    facts.classes = {short.get(name, name): node for name, node in facts.classes.items()}
    for tree in trees.values():
        known = _known_at_top(tree)
        for function in _outermost_functions(tree):
            _shorten_inside(function, known, facts)


def _gather(trees: Mapping[str, ast.Module], words: Iterable[str]) -> _Facts:
    facts = _Facts(fixed=set(_BUILTINS))
    for word in words:
        facts.fixed.update(_parts(word))
    for tree in trees.values():
        called = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called.add(id(node.func))
                facts.keywords.update(k.arg for k in node.keywords if k.arg)
                if any(k.arg is None for k in node.keywords):
                    facts.handed_on.add(_last_name(node.func))
            elif isinstance(node, ast.ClassDef):
                facts.classes[node.name] = node
                facts.keywords.update(k.arg for k in node.keywords if k.arg)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                facts.fixed.update(_parts(node.value))
            elif isinstance(node, ast.Import | ast.ImportFrom):
                _gather_import(node, facts)
            elif isinstance(node, ast.arg):
                facts.every.add(node.arg)
            elif isinstance(node, ast.FunctionDef):
                facts.every.add(node.name)
            if isinstance(node, ast.Attribute):
                facts.attributes.add(node.attr)
            if isinstance(node, ast.Name | ast.Attribute):
                facts.every.add(_last_name(node))
                if id(node) not in called and isinstance(node.ctx, ast.Load):
                    facts.handed_on.add(_last_name(node))
    facts.every |= facts.fixed | facts.keywords
    return facts


def _gather_import(node: ast.Import | ast.ImportFrom, facts: _Facts) -> None:
    ours = isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "pgolf"
    for alias in node.names:
        facts.every.update((alias.name, alias.asname or alias.name))
        if not ours or alias.asname:
            facts.fixed.update((alias.name, alias.asname or alias.name))


def _parts(text: str) -> Iterator[str]:
    """Words that a string may name: all of ``a.b``, the word in ``--word``; none of a sentence."""
    found = _WORD.fullmatch(text)
    if found:
        yield from found[1].replace("-", "_").split(".")


def _last_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _top_names(trees: Mapping[str, ast.Module], facts: _Facts) -> dict[str, int]:
    """Definitions at the top of modules that are plain names wherever they occur, with how often they do."""
    made = {name for tree in trees.values() for name in _made_at_top(tree)}
    modules = {part for name in trees for part in name.split(".")}
    made -= facts.fixed | facts.attributes | facts.keywords | modules
    return _uses(trees, {name for name in made if len(name) > 2 and not _special(name)})


def _private_names(trees: Mapping[str, ast.Module], facts: _Facts, outside: set[str]) -> dict[str, int]:
    """``_name`` of methods and attributes that the bundle's classes make and only ``self`` is asked for."""
    made: set[str] = set()
    for cls in facts.classes.values():
        made |= {child.name for child in cls.body if isinstance(child, ast.FunctionDef)}
        made |= {
            node.attr
            for node in ast.walk(cls)
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and _last_name(node.value) == "self"
            and not _has_foreign_base(cls, facts)
        }
    foreign = {
        node.attr
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in made and _last_name(node.value) != "self"
    }
    made -= facts.fixed | facts.keywords | outside | foreign
    return _uses(trees, {name for name in made if name.startswith("_") and not _special(name)})


def _special(name: str) -> bool:
    return name.startswith("__")


def _made_at_top(tree: ast.Module) -> Iterator[str]:
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.Assign):
            yield from (n.id for t in statement.targets for n in ast.walk(t) if isinstance(n, ast.Name))


def _known_at_top(tree: ast.Module) -> set[str]:
    """Names of a module's top level, wherever they come from."""
    names: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
        else:
            names |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    return names


def _uses(trees: Mapping[str, ast.Module], names: set[str]) -> dict[str, int]:
    counts = dict.fromkeys(names, 0)
    for tree in trees.values():
        for node in ast.walk(tree):
            name = _last_name(node) if isinstance(node, ast.expr) else getattr(node, "name", "")
            if name in counts:
                counts[name] += 1
    return counts


def _apply(trees: Mapping[str, ast.Module], names: Mapping[str, str]) -> None:
    for tree in trees.values():
        for node in ast.walk(tree):
            _rename(node, names)
            if isinstance(node, ast.Attribute):
                node.attr = names.get(node.attr, node.attr)
            elif isinstance(node, ast.ClassDef):
                node.name = names.get(node.name, node.name)
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    alias.name = names.get(alias.name, alias.name)
            elif isinstance(node, ast.Global | ast.Nonlocal):
                node.names = [names.get(name, name) for name in node.names]


def _rename(node: ast.AST, names: Mapping[str, str]) -> None:
    """What a scope can bind: variables, parameters, functions, caught errors."""
    if isinstance(node, ast.Name):
        node.id = names.get(node.id, node.id)
    elif isinstance(node, ast.arg):
        node.arg = names.get(node.arg, node.arg)
    elif isinstance(node, ast.FunctionDef | ast.ExceptHandler) and node.name:
        node.name = names.get(node.name, node.name)


def _outermost_functions(
    node: ast.AST, cls: ast.ClassDef | None = None
) -> Iterator[tuple[ast.FunctionDef, ast.ClassDef | None]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield child, cls
        else:
            yield from _outermost_functions(child, child if isinstance(child, ast.ClassDef) else cls)


def _shorten_inside(
    owned: tuple[ast.FunctionDef, ast.ClassDef | None], known: set[str], facts: _Facts
) -> None:
    """One renaming for a function and all functions inside it, the same everywhere, so scopes do not matter."""
    function, cls = owned
    # Its own defaults are left out: they are computed around it.
    own = [*_parameters(function.args), *filter(None, (function.args.vararg, function.args.kwarg))]
    nodes: list[ast.AST] = [*own, *(node for part in function.body for node in ast.walk(part))]
    if any(isinstance(n, ast.ClassDef | ast.Global | ast.Nonlocal | ast.Match) for n in nodes):
        return
    if any(isinstance(n, ast.Name) and n.id in _SEES_NAMES for n in nodes):
        return
    inner = [n for n in nodes if isinstance(n, ast.FunctionDef)]
    made = {n.arg: 0 for n in nodes if isinstance(n, ast.arg)}
    made |= {n.id: 0 for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    made |= {n.name: 0 for n in inner}
    made |= {n.name: 0 for n in nodes if isinstance(n, ast.ExceptHandler) and n.name}
    stay = known | _BUILTINS | _fixed_parameters(function, cls, facts)
    for one in inner:
        stay |= _fixed_parameters(one, None, facts)
    stay |= {
        p.arg
        for n in nodes
        if isinstance(n, ast.Lambda)
        for p in _parameters(n.args)
        if p.arg in facts.keywords
    }
    stay |= {a.asname or a.name for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names}
    free = {n.id for n in nodes if isinstance(n, ast.Name) and n.id not in made}
    fresh = (name for name in _short_names() if name not in stay and name not in free)
    names = {name: next(fresh) for name in made if name not in stay}
    for node in nodes:
        _rename(node, names)


def _parameters(arguments: ast.arguments) -> list[ast.arg]:
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]


def _fixed_parameters(function: ast.FunctionDef, cls: ast.ClassDef | None, facts: _Facts) -> set[str]:
    """Parameters that a caller may name."""
    parameters = {parameter.arg for parameter in _parameters(function.args)}
    name = cls.name if cls is not None and function.name == "__init__" else function.name
    foreign = (
        cls is not None
        and _has_foreign_base(cls, facts)
        and function.name not in _CALLED_AS_WE_CALL_IT
        and (_special(function.name) or not function.name.startswith("_"))
    )
    handed_on = name in facts.handed_on and function.name != "__init__"
    annotated = any(parameter.annotation for parameter in _parameters(function.args))
    if foreign or handed_on or annotated:
        return parameters - {"self"}
    by_config = function.name == "__init__" or name in facts.fixed  # called with the keys of a config's node
    return parameters & (facts.keywords | facts.fixed if by_config else facts.keywords)


def _has_foreign_base(cls: ast.ClassDef, facts: _Facts) -> bool:
    for base in cls.bases:
        ours = facts.classes.get(_last_name(base))
        if ours is None or _has_foreign_base(ours, facts):
            return True
    return False


def _short_names() -> Iterator[str]:
    for length in itertools.count(1):
        for letters in itertools.product(_LETTERS, repeat=length):
            name = "".join(letters)
            if not keyword.iskeyword(name) and name not in _BUILTINS:
                yield name
