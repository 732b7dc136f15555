import ast
from pathlib import Path

import pytest

import pgolf
from pgolf.bundle import minify
from pgolf.bundle.minify import minified

SAMPLE = '''
"""Words for readers."""
LIMIT = 3
def outer(values, *, scale=2, **named):
    """More of them."""
    result = []
    total = 0
    def add(value):
        nonlocal_free = total
        result.append((value + nonlocal_free, LIMIT))
        return result
    for index, value in enumerate(values):
        try:
            total = sum(value * scale / item for item in range(index, LIMIT) if item)
            shown = f"{value:>{index + 4}.2f} {scale!r} {{}}"
            pick = lambda value: [value, total, *(other for other in values)]
            add(shown)
            add_all = [add(text) for text in map(str, pick(value))] if False else pick(value)
            result.append(add_all)
        except ZeroDivisionError as error:
            result.append(str(error))
        except TypeError as error:
            result.append(type(error).__name__)
        with open("/dev/null") as stream:
            result.append(stream.read() + 'a"b' + "it's" r"\\d" "\\n")
        if not (index) in (0, 1):
            total = -total if total is not None else 1 if total else 0
    first, *others = result or [None]
    chosen = {key: word for key, word in named.items()}
    return first, others, chosen, len(result), [f"{k}={', '.join(v)!r:>9}" for k, v in {"k": "ab"}.items()]
'''


def outcome(source):
    names: dict = {}
    exec(source, names)
    return names["outer"]([1, 2.5, 0], scale=3, word=1)


def test_minified_code_does_the_same_in_fewer_bytes():
    short = minified(SAMPLE)
    assert outcome(short) == outcome(SAMPLE)
    assert "readers" not in short and "More of" not in short
    assert len(short) < 0.65 * len(SAMPLE)


def test_what_others_may_name_keeps_its_name():
    short = minified(
        "import json as reader\n"
        "def function(parameter, *, keyword, **rest):\n"
        "    local_thing = parameter + keyword\n"
        "    return local_thing, [lambda given=1: given for each in rest]\n"
        "class Thing:\n"
        "    attribute = 1\n"
        "    def method(self, argument):\n"
        "        self._private = argument\n"
        "_module_private = function\n"
        "public = _module_private\n"
    )
    outside = (
        "reader",
        "function",
        "parameter",
        "keyword",
        "given",
        "Thing",
        "attribute",
        "method",
        "argument",
    )
    assert all(name in short for name in (*outside, "_private", "public"))
    assert not any(name in short for name in ("local_thing", "each", "self", "_module_private"))


def test_annotations_are_left_to_the_step_before():
    assert "field:0" in minified("class A:\n    field: 0\n")
    assert minified("def f(x: Tensor) -> Tensor:\n    return x\n") == "def f(x:Tensor)->Tensor:return x"


@pytest.mark.parametrize("way", ["locals()", "eval('total')", "vars()"])
def test_functions_whose_names_can_be_seen_are_left_alone(way):
    assert "total" in minified(f"def f():\n total=2\n return {way}\n")


def test_fstrings_are_written_as_python_3_10_reads_them():
    """From 3.12 on the quotes around an f-string may stand inside it too, which is a syntax error before."""
    source = """x = f"{a['k']} {', '.join(b)} {f'{c!r:>{d}}'} {e['q'] if g else 'h'}"\n"""
    assert minified(source) == """x=f"{a['k']} {', '.join(b)} {f'{c!r:>{d}}'} {e['q']if g else'h'}\""""


def test_modules_of_this_package_keep_their_names_and_compile():
    for path in sorted(Path(pgolf.__file__).parent.rglob("*.py"))[::7]:
        text = path.read_text(encoding="utf-8")
        short = minified(text)
        assert public_names(ast.parse(short)) >= public_names(ast.parse(text)), path
        assert len(short) <= len(text)
        compile(short, str(path), "exec", dont_inherit=True)


def test_no_module_names_what_is_private_to_another():
    """Their names are shortened, each module by itself."""
    for path in sorted(Path(pgolf.__file__).parent.rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        ours = [n for n in nodes if isinstance(n, ast.ImportFrom) and str(n.module).startswith("pgolf")]
        imported = {alias.asname or alias.name for n in ours for alias in n.names}
        assert not list(filter(private, imported)), path
        attributes = [n for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
        assert not [n.attr for n in attributes if n.value.id in imported and private(n.attr)], path
        own = {n.name for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        texts = {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        assert not {name for name in own & texts if private(name)}, path


def private(name):
    return name.startswith("_") and not name.startswith("__")


def public_names(tree):
    """What other modules may name: definitions, parameters, attributes, keywords."""
    nodes = list(ast.walk(tree))
    found = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not private(n.name)}
    found |= {n.attr for n in nodes if isinstance(n, ast.Attribute)}
    found |= {n.arg for n in nodes if isinstance(n, ast.keyword)}
    return found | {a.arg for n in nodes if isinstance(n, ast.FunctionDef) for a in n.args.kwonlyargs}


@pytest.fixture
def kept(monkeypatch, tmp_path):
    monkeypatch.setattr(minify, "KEPT", tmp_path / "kept")
    minified.cache_clear()
    yield tmp_path / "kept"
    minified.cache_clear()


def test_what_was_made_before_is_taken_from_where_it_lies(kept, monkeypatch):
    short = minified("def f(value):\n    return value\n")
    assert len(list(kept.iterdir())) == 1
    minified.cache_clear()
    monkeypatch.setattr(minify, "_made", lambda source: pytest.fail("made anew"))
    assert minified("def f(value):\n    return value\n") == short


@pytest.mark.parametrize("damage", [lambda text: text[:-1], lambda text: "", lambda text: text.replace("f(", "g(")])
def test_a_damaged_text_is_made_anew(kept, damage):
    short = minified("def f(value):\n    return value\n")
    (file,) = kept.iterdir()
    file.write_text(damage(file.read_text()))
    minified.cache_clear()
    assert minified("def f(value):\n    return value\n") == short
    assert file.read_text().endswith(short)


def test_another_maker_takes_nothing_of_the_last_one(kept, monkeypatch):
    minified("def f(value):\n    return value\n")
    minified.cache_clear()
    monkeypatch.setattr(minify, "_maker", lambda: "another")
    minified("def f(value):\n    return value\n")
    assert len(list(kept.iterdir())) == 2


def test_where_nothing_can_be_kept_it_is_made_all_the_same(kept):
    kept.write_text("a file in the folder's place")
    assert minified("def f(value):\n    return value\n") == "def f(value):return value"


def test_a_text_that_cannot_be_put_in_its_place_leaves_nothing_beside_it(kept, monkeypatch):
    monkeypatch.setattr(minify.os, "replace", lambda part, place: (_ for _ in ()).throw(PermissionError()))
    assert minified("def f(value):\n    return value\n") == "def f(value):return value"
    assert not list(kept.iterdir())
