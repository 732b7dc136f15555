"""What of the package's source a run reaches: from its entry points along names, module by module.

A top-level definition is kept if something kept names it; a method if its class is kept and its name occurs
anywhere as an attribute or as a string (``getattr``), if it is special (``__init__``), or if a base class from
outside has it and may call it. Names are followed, values are not: whatever could be called is kept, so
leaving out errs on the side of too much. Registries that import by name at run time reach nothing by
themselves: what they would import is there if the config chose it.

Parameters that nobody names are made positional-only on the way out: see ``pgolf.bundle.positional``.

Statements that act when a module is imported (calls, ``if``, registering decorators) are kept with their module.
"""

from __future__ import annotations

import ast
import builtins
import copy
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib import import_module
from inspect import get_annotations, signature

from pgolf.bundle.positional import QUIET_DECORATORS, positional
from pgolf.bundle.sources import ModuleSource, imported_from, is_bundled, is_module, parents, source_of
from pgolf.bundle.strip import stripped
from pgolf.core.errors import ConfigError

_WORD = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")

Entry = tuple[str, str]  # module, attribute


@dataclass(frozen=True, slots=True)
class _Named:
    """What a node names, whoever asks."""

    words: frozenset[str]  # that may be attributes
    reached: tuple[Entry, ...]  # attributes of modules
    imports: tuple[ast.Import | ast.ImportFrom, ...]
    statements: tuple[ast.stmt, ...]  # of its own module
    modules: tuple[str, ...]  # handed on whole


@dataclass(slots=True)
class _Module:
    """A module's stripped top level: one statement for each imported name; ``binds`` tells who makes a name.

    All but what is kept is the same for whoever shakes.
    """

    source: ModuleSource
    body: list[ast.stmt]
    aliases: dict[str, str]  # names that are modules of pgolf
    binds: dict[str, list[ast.stmt]] = field(default_factory=dict)
    named: dict[int, _Named] = field(default_factory=dict)  # by the id of a node
    rests: dict[frozenset[int], ast.Module] = field(default_factory=dict)  # by what is kept
    kept: set[int] = field(default_factory=set)  # ids of statements, and of methods in kept classes


def shaken(entries: Iterable[Entry], words: Iterable[str] = (), modules: Iterable[str] = ()) -> dict[str, ast.Module]:
    """What is reached from ``entries``: a tree by module name, sorted; modules without content are left out.

    ``words``: further strings that may name attributes, such as those of the config. ``modules``: further ones that
    are looked up by name, for what they do when they are imported. Raises ConfigError for an entry that does not exist
    or a module that is reached and not bundled.
    """
    shaker = _Shaker(words)
    for name in modules:
        shaker.module(name)
    for module, attribute in entries:
        if attribute not in shaker.module(module).binds:
            raise ConfigError(f"script: {module} has no {attribute!r}")
        shaker.reach(module, attribute)
    shaker.settle()
    found = {name: _rest(shaker.modules[name]) for name in sorted(shaker.modules)}
    found = {name: tree for name, tree in found.items() if tree.body}
    return positional(found, shaker.strings, shaker.foreign)


class _Shaker:
    def __init__(self, words: Iterable[str]) -> None:
        self.modules: dict[str, _Module] = {}
        self.words = {part for word in words for part in _words(word)}
        self.strings = frozenset(self.words)
        self.foreign: dict[str, set[str]] = {}  # parameters of the methods of base classes from other packages
        self.methods: list[tuple[_Module, ast.FunctionDef]] = []
        self._queue: list[tuple[_Module, ast.AST]] = []

    def module(self, name: str) -> _Module:
        """Enter a module: what acts when it is imported is reached, and so are the packages around it."""
        if name in self.modules:
            return self.modules[name]
        if not is_bundled(name):
            raise ConfigError(f"script: the run needs {name}, which no bundle carries")
        module = replace(_parsed(source_of(name)), kept=set())
        self.modules[name] = module  # before what it needs: two modules may import each other inside functions
        for parent in parents(name):
            self.module(parent)
        for statement in module.body:
            if _acts(statement):
                self.keep(module, statement)
        return module

    def reach(self, name: str, attribute: str) -> None:
        """Keep what makes ``attribute`` of the module ``name``, or enter the submodule of that name."""
        module = self.module(name)
        # A name that the package itself makes hides a submodule of that name, as it does for Python.
        if attribute not in module.binds and is_module(f"{name}.{attribute}"):
            self.module(f"{name}.{attribute}")
        for statement in module.binds.get(attribute, ()):
            self.keep(module, statement)

    def keep(self, module: _Module, statement: ast.AST) -> None:
        if id(statement) not in module.kept:
            module.kept.add(id(statement))
            self._queue.append((module, statement))

    def settle(self) -> None:
        """Follow everything that was kept until nothing new comes."""
        while self._queue:
            while self._queue:
                self._follow(*self._queue.pop())
            # Only now: whether anything names a method is known when all else has been followed, and a method that is
            # kept may name others, of classes passed long ago.
            waiting = [(m, method) for m, method in self.methods if method.name not in self.words]
            for module, method in self.methods:
                if method.name in self.words:
                    self.keep(module, method)
            self.methods = waiting

    def _follow(self, module: _Module, node: ast.AST) -> None:
        if not isinstance(node, ast.ClassDef):
            self._scan(module, node)
            return
        # A class is followed without its methods, which would drag in all they call though nobody calls them.
        for part in (*node.decorator_list, *node.bases, *node.keywords):
            self._scan(module, part)
        called_outside = _names_of_outside_bases(self, module, node)
        for statement in node.body:
            if not isinstance(statement, ast.FunctionDef):
                self._scan(module, statement)
            elif _is_special(statement.name) or called_outside is None or statement.name in called_outside:
                self.keep(module, statement)
            else:
                self.methods.append((module, statement))

    def _scan(self, module: _Module, node: ast.AST) -> None:
        """Follow everything that ``node`` names."""
        if id(node) not in module.named:
            module.named[id(node)] = _named(module, node)
        named = module.named[id(node)]
        self.words |= named.words
        for name, attribute in named.reached:
            self.reach(name, attribute)
        for imported in named.imports:
            self._import(module, imported)
        for statement in named.statements:
            self.keep(module, statement)
        for name in named.modules:
            for attribute in self.module(name).binds:
                self.reach(name, attribute)

    def _import(self, module: _Module, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if is_module(alias.name):
                    self.module(alias.name)
            return
        base = imported_from(node, module.source.package)
        if is_module(base):
            for alias in node.names:
                self.reach(base, alias.name)


def _words(text: str) -> list[str]:
    """The names that a string may hold."""
    return text.split(".") if _WORD.fullmatch(text) else []


def _named(module: _Module, node: ast.AST) -> _Named:
    children = list(ast.walk(node))
    # Imports inside a function make names for it alone, which must not count elsewhere in the module.
    imports = [child for child in children if isinstance(child, ast.ImportFrom)]
    aliases = module.aliases | _module_aliases(imports, module.source.package)
    words: set[str] = set()
    reached: list[Entry] = []
    only_for_attribute: set[int] = set()
    for child in children:
        if isinstance(child, ast.Attribute):
            # Whose attribute it is nobody can tell from the text: any method of that name is now named.
            words.add(child.attr)
            if isinstance(child.value, ast.Name) and child.value.id in aliases:
                only_for_attribute.add(id(child.value))
                reached.append((aliases[child.value.id], child.attr))
        elif isinstance(child, ast.Constant) and isinstance(child.value, str):
            words.update(_words(child.value))
    names = [child for child in children if isinstance(child, ast.Name)]
    # A module handed on as a value may be asked for anything it has.
    handed_on = [
        aliases[child.id]
        for child in names
        if child.id in aliases and id(child) not in only_for_attribute and isinstance(child.ctx, ast.Load)
    ]
    return _Named(
        words=frozenset(words),
        reached=tuple(reached),
        imports=tuple(child for child in children if isinstance(child, ast.Import | ast.ImportFrom)),
        statements=tuple(statement for child in names for statement in module.binds.get(child.id, ())),
        modules=tuple(handed_on),
    )


@lru_cache(maxsize=1024)  # most modules come again in the next config's bundle
def _parsed(source: ModuleSource) -> _Module:
    body: list[ast.stmt] = []
    # One statement for each imported name, so that one can be kept without the others; the minifier joins them again.
    for statement in stripped(ast.parse(source.text)).body:
        if isinstance(statement, ast.Import):
            body += [ast.Import([alias]) for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            body += [ast.ImportFrom(statement.module, [a], statement.level) for a in statement.names]
        else:
            body.append(statement)
    imports = [statement for statement in body if isinstance(statement, ast.ImportFrom)]
    module = _Module(source, body, _module_aliases(imports, source.package))
    for statement in body:
        for name in _bound(statement):
            module.binds.setdefault(name, []).append(statement)
    return module


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names that a top-level statement makes."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from ((alias.asname or alias.name).split(".")[0] for alias in statement.names)
    else:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def _acts(statement: ast.stmt) -> bool:
    """Does it do more than make names that others may use?"""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return not all(_decorator_name(d) in QUIET_DECORATORS for d in statement.decorator_list)
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)  # a docstring
    if isinstance(statement, ast.Assign | ast.AnnAssign):  # into something that was there: a registration
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return any(isinstance(n, ast.Subscript | ast.Attribute) for t in targets for n in ast.walk(t))
    return not isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass)


def _decorator_name(node: ast.expr) -> str:
    called = node.func if isinstance(node, ast.Call) else node
    return ast.unparse(called).rpartition(".")[2]


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _module_aliases(imports: Iterable[ast.ImportFrom], package: str) -> dict[str, str]:
    """Local name to module, of each imported name that is a module of pgolf."""
    found: dict[str, str] = {}
    for node in imports:
        base = imported_from(node, package)
        if base.partition(".")[0] == "pgolf":
            names = {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}
            found |= {name: target for name, target in names.items() if is_module(target)}
    return found


def _names_of_outside_bases(shaker: _Shaker, module: _Module, node: ast.ClassDef) -> set[str] | None:
    """Attributes of all base classes from other packages; None where they cannot be told.

    A foreign base calls methods by names that occur nowhere here: ``forward`` of a module, ``step`` of an optimizer.
    """
    names: set[str] = set()
    for base in node.bases:
        found = _names_of_base(shaker, module, base.value if isinstance(base, ast.Subscript) else base)
        if found is None:
            return None
        names |= found
    return names


def _names_of_base(shaker: _Shaker, module: _Module, base: ast.expr) -> set[str] | None:
    first, _, rest = ast.unparse(base).partition(".")
    makers = module.binds.get(first, [])
    if not makers and hasattr(builtins, first):
        return set(dir(getattr(builtins, first)))
    for maker in makers:
        if isinstance(maker, ast.ClassDef):
            return _names_of_outside_bases(shaker, module, maker)
        if isinstance(maker, ast.ImportFrom):
            home, name = imported_from(maker, module.source.package), maker.names[0].name
            if is_module(home):
                return _names_of_base(shaker, shaker.module(home), ast.Name(name, ast.Load()))
            return _names_outside(shaker, home, f"{name}.{rest}" if rest else name)
        if isinstance(maker, ast.Import):
            return _names_outside(shaker, maker.names[0].name, rest)
    return None


def _names_outside(shaker: _Shaker, home: str, path: str) -> set[str] | None:
    found = _outside(home, path)
    for name, parameters in (found or {}).items():
        shaker.foreign.setdefault(name, set()).update(parameters)
    return None if found is None else set(found)


@cache
def _outside(home: str, path: str) -> dict[str, frozenset[str]] | None:
    """Attributes of a class of another package, with the parameters of each; None where there is none."""
    # The one place that looks at objects and not at text: other packages are not read, and some have no source.
    try:
        found = import_module(home)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    # ``dir`` does not list what a class only announces (``hook: Callable``) and sets when it is made.
    annotated = (get_annotations(cls) for cls in getattr(found, "__mro__", ()))
    names = set(dir(found)).union(*annotated)
    return {name: _parameters(getattr(found, name, None)) for name in names}


def _parameters(value: object) -> frozenset[str]:
    try:
        return frozenset(signature(value).parameters) if callable(value) else frozenset()
    except (ValueError, TypeError):  # one of C that says nothing of them
        return frozenset()


def _rest(module: _Module) -> ast.Module:
    """The kept statements in their order; methods that were not kept are taken out. Not to be changed."""
    kept = frozenset(module.kept)
    if kept not in module.rests:
        body = [_with_methods(statement, kept) for statement in module.body if id(statement) in kept]
        module.rests[kept] = ast.Module(body, [])
    return module.rests[kept]


def _with_methods(statement: ast.stmt, kept: frozenset[int]) -> ast.stmt:
    """Of a class those of its methods that are kept; of anything else all."""
    if not isinstance(statement, ast.ClassDef):
        return statement
    body = [child for child in statement.body if not isinstance(child, ast.FunctionDef) or id(child) in kept]
    statement = copy.copy(statement)
    statement.body = body or [ast.Pass()]
    return statement
