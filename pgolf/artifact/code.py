"""How many bytes a run's code would take: an estimate until the one-file bundle is measured (decisions 7).

What is counted, exactly:

1. Roots: the modules given, and the module of every ``_target_: pgolf...`` in the composed config.
2. Import closure: from the roots along ``import pgolf...`` and ``from pgolf... import ...`` anywhere in a file
   (inside functions too; not under ``if TYPE_CHECKING``), read from the source, nothing is executed. The
   ``__init__`` of every package on the way counts. Registries that import by name at run time add nothing:
   what they would import is there only if the config chose it.
3. Left out: NOT_BUNDLED, with the reason beside each.
4. Each source is parsed and printed again without comments and docstrings; names, annotations and layout stay.
5. Sources in the order of their names, each under its module's name, then the config text as it is, are one
   UTF-8 text, compressed by LZMA (preset 9 extreme, .lzma container). The length of that is the estimate.

The wrapper that would unpack and run it (spec quant 7.6) is not in it, nor any shortening of names; the one
adds a few hundred bytes, the other saves more.
"""

from __future__ import annotations

import ast
import lzma
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pgolf
from pgolf.core.errors import ConfigError

CODE_LABEL = "code_estimate"

NOT_BUNDLED: Mapping[str, str] = {
    "pgolf.config": "the composed config is shipped; composing and checking it needs Hydra, a bundle does not",
    "pgolf.track": "records of a run: folders, logs, tables",
    "pgolf.logger": "records of a run: loggers",
    "pgolf.cli": "the command line of this package",
    "pgolf.proof": "the certificate is about the artifact, not part of it",
    "pgolf.bench": "measurements of speed",
}
BUNDLED_ALL_THE_SAME = (
    "pgolf.config",
    "pgolf.config.make",
)  # __init__ and the twenty lines that build objects

RUN_ROOTS = ("pgolf.train.trainer", "pgolf.eval.from_artifact", "pgolf.artifact.container")

_TARGET = re.compile(r"""_target_["']?\s*:\s*["']?(pgolf(?:\.\w+)+)""")
_SOURCE = Path(pgolf.__file__).parent


def code_estimate(modules: Iterable[str] | None, config_text: str) -> int:
    """Bytes of code of a run, as the module's docstring says. ``None`` means RUN_ROOTS.

    Raises ConfigError for a root that does not exist.
    """
    sources = closure_sources(modules, config_text)
    text = "".join(f"#{name}\n{source}\n" for name, source in sources.items()) + config_text
    return len(lzma.compress(text.encode("utf-8"), format=lzma.FORMAT_ALONE, preset=9 | lzma.PRESET_EXTREME))


def closure_sources(modules: Iterable[str] | None, config_text: str) -> dict[str, str]:
    """Module name to stripped source of everything that would be bundled, sorted by name."""
    waiting = [_existing(name) for name in (RUN_ROOTS if modules is None else modules)]
    waiting += [_existing(target.rpartition(".")[0]) for target in _TARGET.findall(config_text)]
    found: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        if name in found or not is_bundled(name):
            continue
        path, is_package = _locate(name)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        waiting += [parent for parent in _parents(name) if parent not in found]
        waiting += _imports(tree, name if is_package else name.rpartition(".")[0])
        found[name] = ast.unparse(_without_docstrings(tree))
    return dict(sorted(found.items()))


def is_bundled(name: str) -> bool:
    """Is the module ``name`` outside NOT_BUNDLED?"""
    return name in BUNDLED_ALL_THE_SAME or not any(
        name == package or name.startswith(f"{package}.") for package in NOT_BUNDLED
    )


def _file_of(name: str) -> tuple[Path, bool] | None:
    """Source file of a pgolf module and whether it is a package, or None."""
    stem = _SOURCE.joinpath(*name.split(".")[1:])
    if (stem / "__init__.py").is_file():
        return stem / "__init__.py", True
    path = stem.with_name(f"{stem.name}.py")
    return (path, False) if name != "pgolf" and path.is_file() else None


def _locate(name: str) -> tuple[Path, bool]:
    located = _file_of(name)
    assert located is not None, name
    return located


def _existing(name: str) -> str:
    if name.split(".")[0] != "pgolf" or _file_of(name) is None:
        raise ConfigError(f"{CODE_LABEL}: there is no module {name!r} to count")
    return name


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """pgolf modules that ``tree`` imports; ``package`` resolves relative imports."""
    skipped = {child for node in ast.walk(tree) if _is_type_checking(node) for child in ast.walk(node)}
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _file_of_pgolf(alias.name))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            if _file_of_pgolf(base):
                yield base
                yield from (f"{base}.{a.name}" for a in node.names if _file_of_pgolf(f"{base}.{a.name}"))


def _file_of_pgolf(name: str) -> bool:
    return name.split(".")[0] == "pgolf" and _file_of(name) is not None


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and type(first.value.value) is str
            ):
                node.body = node.body[1:]
                if not node.body and not isinstance(node, ast.Module):
                    node.body = [ast.Pass()]
    return tree
