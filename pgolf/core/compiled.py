"""Functions that numba compiles: without the interpreter's lock, and kept on disk where there is a place for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(signature: Any = None, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile, now if a signature is given, with further ``options`` of ``numba.njit``."""

    def compile_it(function: Callable[..., Any]) -> Any:
        try:
            return njit(signature, cache=True, nogil=True, **options)(function)
        except RuntimeError:  # no writable folder, or no file (a bundle)
            return njit(signature, nogil=True, **options)(function)

    return compile_it
