import ast
from pathlib import Path

import pgolf
from pgolf.bundle.minify import minified, without_blanks

SAMPLE = """
LIMIT = 3
def outer(values, *, scale=2, **named):
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
    return first, others, chosen, len(result)
"""


def outcome(source):
    names: dict = {}
    exec(source, names)
    try:
        return names["outer"]([1, 2.5, "x"], scale=3, word=1)
    except TypeError as error:
        return str(error)


def test_minified_code_does_the_same_in_fewer_bytes():
    short = minified(ast.parse(SAMPLE))
    assert outcome(short) == outcome(SAMPLE)
    assert len(short) < 0.85 * len(SAMPLE)


def test_taking_blanks_out_changes_no_module_of_this_package():
    for path in sorted(Path(pgolf.__file__).parent.rglob("*.py")):
        text = ast.unparse(ast.parse(path.read_text()))
        dense = without_blanks(text)
        assert ast.dump(ast.parse(dense)) == ast.dump(ast.parse(text)), path
        assert len(dense) <= len(text)
