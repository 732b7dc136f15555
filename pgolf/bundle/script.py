"""A run as one file: ``train_gpt.py`` with the modules the run reaches and its composed config (spec quant §7.6).

The script is a short loader and one string. The string is bzip2, which packs this much source best of what
Python brings along (LZMA with tuned settings takes 3 % more, zlib 15 %; brotli takes as much and would have to be
installed). It stands there in base 252, in a file that is read as Latin-1; ``ascii`` writes it in base 121 for a
receiver that takes nothing but ASCII (``pgolf.bundle.payload``). The loader serves the modules under the name
``pgolf`` from memory, before any installed package of that name.

Everything is decided by the config and the sources: the same config gives the same bytes under every Python from 3.10
on, as long as the base classes from other packages have the same methods. A run counts the bytes that it wrote.

What is left out of the sources: see ``pgolf.bundle.shake``, ``strip`` and ``minify``.
"""

from __future__ import annotations

import ast
import bz2
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pgolf.artifact.pack import TARGET
from pgolf.bundle.minify import minified
from pgolf.bundle.payload import from_base_121, from_base_252, from_latin_1, in_base_121, in_base_252
from pgolf.bundle.shake import Entry, shaken
from pgolf.config.content import content
from pgolf.core.errors import ConfigError
from pgolf.core.make import target_of
from pgolf.data.base import Source
from pgolf.quant.schemes import home_of

SCRIPT_NAME = "train_gpt.py"
SERVE: tuple[Entry, ...] = (("pgolf.eval.serve", "serve"),)
MAIN: tuple[Entry, ...] = (("pgolf.run.bundled", "main"), ("pgolf.core.threads", "bound_spinning"), *SERVE)

# Python looks for the encoding in the first line (PEP 263), which is also the one a reader sees.
_HEAD = "# coding:latin-1 - one pgolf run in one file: trains; with an artifact as argument, scores it. See --help.\n"
# Each form makes D, the packed bytes.
_BASE_252 = """D=b''
T=%s.encode('latin-1')
for i in range(0,len(T),352):
 t=T[i:i+352];n=0
 for c in t:n=n*252+c-1-(c>13)-(c>39)-(c>92)
 D+=n.to_bytes(len(t)-1,'big')
"""
_BASE_121 = """A=[chr(i)for i in range(1,128)if chr(i)not in"\\n\\r\\x1a\\x1b'\\\\"]
n=0
for c in'%s':n=n*121+A.index(c)
D=n.to_bytes(%d,'big')
"""
# Modules with functions that numba compiles get the script as their file, and lines there that no other has: by file,
# name and line it knows what it has compiled before. It also looks up their text there, where other text stands:
# ``linecache`` is told that there is none.
_LOADER = """import bz2,importlib.util,json,linecache,sys
linecache.cache[__file__]=0,None,[],''
M=dict(m.split('\\n',1)for m in bz2.decompress(D).decode().split('\\0'))
class L:
 def find_spec(s,n,*_):
  p=any(m.startswith(n+'.')for m in M)
  if p or n in M:return importlib.util.spec_from_loader(n,s,is_package=p)
 def create_module(s,p):0
 def exec_module(s,m):
  n=m.__name__;t=M.get(n,'');f=n
  if'compiled'in t or'Stage'in t:f=__file__;t=[*M].index(n)*999*'\\n'+t
  exec(compile(t,f,'exec'),m.__dict__)
sys.meta_path.insert(0,L())
if __name__=='__main__':
 from pgolf.core.threads import bound_spinning;bound_spinning()
 from pgolf.run.bundled import main;sys.exit(main(json.loads(M[''])))
"""


@dataclass(frozen=True, slots=True)
class Bundle:
    """``script``: the bytes of train_gpt.py; ``sources`` and ``config``: what they unpack to."""

    script: bytes
    sources: Mapping[str, str]
    config: Mapping[str, Any]


def make_bundle(cfg: Mapping[str, Any]) -> Bundle:
    """The bundle of the composed config ``cfg``. Raises ConfigError where it names what no bundle carries."""
    config = bundled_config(cfg)
    found = shaken([*MAIN, *targets(config)], words(config))
    sources = {name: _short(tree) for name, tree in found.items()}
    return Bundle(script_of(sources, config), sources, config)


@lru_cache(maxsize=4096)  # the same trees come again
def _short(tree: ast.Module) -> str:
    return minified(ast.unparse(tree))


def make_serving(header: Mapping[str, Any], codecs: Iterable[str], schemes: Iterable[str], tokenizer: type) -> Bundle:
    """A bundle that cannot train: what scoring takes of an artifact with that header, its streams packed by ``codecs``,
    its tensors stored by ``schemes``, and that class of tokenizer."""
    decoders = [(f"pgolf.compressor.{codec}", "decode") for codec in codecs]
    entries = [*SERVE, *targets(header), *decoders, (tokenizer.__module__, tokenizer.__qualname__)]
    found = shaken(entries, words(header), sorted(set(map(home_of, schemes))))
    sources = {name: _short(tree) for name, tree in found.items()}
    return Bundle(script_of(sources, header), sources, header)


def bundled_config(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """What the script carries of the composed config, as plain containers; their order says nothing.

    ``data`` is None where the source is not bundled: the script then asks for prepared shards.
    """
    config = {key: _plain(value) for key, value in content(cfg).items()}
    source: type[Source] = target_of(config["data"], "data")  # type: ignore[assignment]
    if not source.bundled:
        config["data"] = None
    return config


def targets(value: Any) -> Iterator[Entry]:
    """(module, attribute) of every ``_target_`` in a config."""
    if isinstance(value, Mapping):
        if isinstance(value.get("_target_"), str):
            module, _, attribute = value["_target_"].rpartition(".")
            yield module, attribute
        if value.get("target_bytes") is not None:
            yield from ((TARGET, name) for name in ("Weighed", "quantize_to_target"))
        for child in value.values():
            yield from targets(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from targets(child)


def words(value: Any) -> Iterator[str]:
    """Every string in a config, keys included: any of them may name an attribute."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield str(key)
            yield from words(child)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for child in value:
            yield from words(child)


def script_of(sources: Mapping[str, str], config: Mapping[str, Any], *, ascii: bool = False) -> bytes:
    """The bytes of the script that carries ``sources`` and ``config``; ``ascii``: with the payload in base 121."""
    modules = {"": json.dumps(config, sort_keys=True, separators=(",", ":")), **sources}
    text = "\0".join(f"{name}\n{source}" for name, source in modules.items())
    packed = bz2.compress(text.encode(), 9)
    payload = _BASE_121 % (in_base_121(packed), len(packed)) if ascii else _BASE_252 % in_base_252(packed)
    return (_HEAD + payload + _LOADER).encode("latin-1")


def opened(script: bytes) -> Bundle:
    """What a bundled script consists of, whichever form it has. Raises ConfigError for a file that is none."""
    try:
        text = bz2.decompress(_payload(script.decode("latin-1"))).decode()
        sources = dict(module.split("\n", 1) for module in text.split("\0"))
        return Bundle(script, sources, json.loads(sources.pop("")))
    except (ValueError, SyntaxError, OverflowError, OSError, KeyError) as error:
        raise ConfigError(f"this is no script that pgolf wrote ({error})") from error


def _payload(text: str) -> bytes:
    found = re.search(r"\n([DT])=('{3}.*'{3})\.encode", text, re.DOTALL)
    if found:
        return from_base_252(found[2]) if found[1] == "T" else from_latin_1(found[2])
    found = re.search(r"for c in'(.*)':n=n\*121.*?to_bytes\((\d+),", text, re.DOTALL)
    if found:
        return from_base_121(found[1], int(found[2]))
    raise ValueError("it holds no payload")


def packages(sources: Mapping[str, str]) -> tuple[str, ...]:
    """Top-level packages, outside the standard library, that the modules import or look up by name, sorted."""
    found: set[str] = set()
    for source in sources.values():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(str(node.module))
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("find_spec", "import_module"):
                found |= {str(a.value) for a in node.args if isinstance(a, ast.Constant)}
    tops = {name.partition(".")[0] for name in found}
    return tuple(sorted(top for top in tops if top != "pgolf" and top not in sys.stdlib_module_names))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(child) for key, child in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(child) for child in value]
    return value
