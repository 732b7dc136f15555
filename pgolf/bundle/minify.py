"""A module's source as a short text that does the same: the library python-minifier, with the settings of a bundle.

Docstrings, comments, blanks and ``pass`` go; what only a function, or only this module (``_private``), can name is
shortened. Everything that another module, a string or a keyword may name keeps its name: other globals, attributes,
parameters.
"""

from __future__ import annotations

import ast
import contextlib
import os
import secrets
import sys
from functools import cache, lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from python_minifier import minify
from python_minifier.f_string import OuterFString
from python_minifier.module_printer import ModulePrinter

# Texts made before, two seconds of every run, lie where Python keeps what it compiled.
KEPT = Path(__file__).parent / "__pycache__" / "minified"


@lru_cache(maxsize=4096)  # most modules come again in the bundle of a process's next config
def minified(source: str) -> str:
    """``source`` in fewer bytes, for every Python from 3.10 on, whichever runs now.

    Taken from ``KEPT`` where it lies there whole, and put there; where nothing can be written, it is made anew.
    """
    place = KEPT / sha256((_maker() + source).encode()).hexdigest()
    with contextlib.suppress(OSError, ValueError):
        digest, _, short = place.read_text(encoding="utf-8").partition("\n")
        if digest == sha256(short.encode()).hexdigest():
            return short
    short = _made(source)
    with contextlib.suppress(OSError):
        KEPT.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        try:
            part.write_text(f"{sha256(short.encode()).hexdigest()}\n{short}", encoding="utf-8", newline="")
            os.replace(part, place)
        finally:
            part.unlink(missing_ok=True)  # a full disk keeps none
    return short


@cache
def _maker() -> str:
    """What the short form depends on besides the source: the library, this Python, and this file."""
    return f"{version('python-minifier')} {sys.version} {Path(__file__).read_text(encoding='utf-8')}"


def _made(source: str) -> str:
    short = minify(
        source,
        remove_annotations=False,  # those still there are read at run time
        remove_literal_statements=True,
        hoist_literals=False,  # bzip2 packs repeated literals better than names for them
        constant_folding=False,  # a product takes more digits than its factors
        preserve_shebang=False,
        rename_globals=True,
        preserve_globals=_public_names(source),
    )
    printer = _OldPrinter()
    return str(printer(ast.parse(short)))


def _public_names(source: str) -> list[str]:
    """All names in ``source``, those of other modules and builtins too, but those that begin with an underscore."""
    names = {name for node in ast.walk(ast.parse(source)) for name in _named(node)}
    return sorted(name for name in names if not name.startswith("_") or name.startswith("__"))


def _named(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    return [node.id] if isinstance(node, ast.Name) else []


class _OldPrinter(ModulePrinter):
    """Prints f-strings as Python 3.10 reads them.

    On 3.12 and later the library puts the outer quotes inside as well (PEP 701), a syntax error before. A source that
    3.10 reads has a form without, so printing again with the newer form switched off always finds one.
    """

    def visit_JoinedStr(self, node: Any) -> None:
        self.printer.fstring(str(OuterFString(node, pep701=False)))
