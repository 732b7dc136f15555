"""A module's source as a short text that does the same: the library python-minifier, with the settings of a bundle.

Docstrings, comments, blanks and ``pass`` go; what only a function can name is shortened. Everything that another
module, a string or a keyword may name keeps its name: globals, attributes, parameters.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import Any

from python_minifier import minify
from python_minifier.f_string import OuterFString
from python_minifier.module_printer import ModulePrinter


@lru_cache(maxsize=4096)  # most modules come again in the bundle of a process's next config
def minified(source: str) -> str:
    """``source`` in fewer bytes, for every Python from 3.10 on, whichever runs now."""
    short = minify(
        source,
        remove_annotations=False,  # those still there are read at run time
        remove_literal_statements=True,
        hoist_literals=False,  # bzip2 packs repeated literals better than names for them
        constant_folding=False,  # a product takes more digits than its factors
        preserve_shebang=False,
    )
    printer = _OldPrinter()
    return str(printer(ast.parse(short)))


class _OldPrinter(ModulePrinter):
    """Prints f-strings as Python 3.10 reads them.

    On 3.12 and later the library puts the outer quotes inside as well (PEP 701), a syntax error before. A source that
    3.10 reads has a form without, so printing again with the newer form switched off always finds one.
    """

    def visit_JoinedStr(self, node: Any) -> None:
        self.printer.fstring(str(OuterFString(node, pep701=False)))
