import ast
import textwrap

import pytest

from pgolf.bundle.rename import shorten

A = """
import json
from pgolf.b import helper, Worker
LIMIT = 3
SETTINGS = {"looked_up": LIMIT}
def looked_up(value):
    return value
def outer(values, *, scale=2, **named):
    result = []
    total = 0
    def add(value, index=0):
        shifted = total + index
        result.append((value, shifted, LIMIT))
        return result
    for index, value in enumerate(values):
        try:
            total = sum(value * scale / item for item in range(index, LIMIT) if item)
            pick = lambda value: [value, total, *(other for other in values)]
            add(f"{value:>{index + 4}.2f} {scale!r} {{}}", index=index)
            result.append(pick(value))
        except TypeError as error:
            result.append(type(error).__name__)
    first, *others = result or [None]
    chosen = {key: word for key, word in named.items()}
    made = [helper(one, 2) for one in range(2)]
    return first, others, chosen, made, globals()["looked_up"](1), Worker(counter=5).run(3)
"""
B = """
LIMIT = 7
def helper(number, times):
    return number * times + LIMIT
class Worker:
    def __init__(self, *, counter):
        self._counter = counter
        self.public = 1
    def run(self, often):
        return self._advance(often) + self.public
    def _advance(self, often):
        self._counter += often
        return self._counter
"""


def load(sources):
    """Run both modules as Python would, b before a."""
    b: dict = {}
    exec(sources["pgolf.b"], b)
    tree = ast.parse(sources["pgolf.a"])
    a: dict = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            a |= {alias.asname or alias.name: b[alias.name] for alias in node.names}
    tree.body = [node for node in tree.body if not isinstance(node, ast.ImportFrom)]
    exec(compile(ast.unparse(tree), "a", "exec"), a)
    return a


def shortened(a=A, b=B, words=("outer", "scale"), outside=()):
    trees = {"pgolf.a": ast.parse(a), "pgolf.b": ast.parse(b)}
    shorten(trees, words, outside)
    return {name: ast.unparse(ast.fix_missing_locations(tree)) for name, tree in trees.items()}


def test_renamed_modules_do_the_same():
    short = shortened()
    arguments = ([1, 2.5, "x"],), {"scale": 3, "word": 1}
    before, after = load({"pgolf.a": A, "pgolf.b": B})["outer"], load(short)["outer"]
    assert after(*arguments[0], **arguments[1]) == before(*arguments[0], **arguments[1])
    assert sum(map(len, short.values())) < 0.8 * (len(A) + len(B))


def test_a_name_is_the_same_in_every_module_and_only_for_one_thing():
    short = shortened()
    assert "helper" not in str(short) and "_advance" not in str(short) and "_counter" not in str(short)
    defined = [n.name for n in ast.parse(short["pgolf.b"]).body if isinstance(n, ast.FunctionDef)]
    assert f"{defined[0]}" in short["pgolf.a"]


@pytest.mark.parametrize("word", ["scale", "counter", "looked_up", "run", "public", "outer", "index"])
def test_words_that_can_be_looked_up_or_passed_by_keyword_stay(word):
    assert word in str(shortened())


def test_words_of_the_config_and_of_other_packages_stay():
    assert "helper" in str(shortened(words=["outer", "helper"]))
    assert "_advance" in str(shortened(outside=["_advance"]))
    assert "_counter" in shortened(a="def f(any_object):\n return any_object._counter\n")["pgolf.b"]


def test_parameters_of_what_others_may_call_stay():
    source = textwrap.dedent(
        """
        from torch import nn
        class Layer(nn.Module):
            def load_state_dict(self, state_dict):
                local = state_dict
                return local
            def forward(self, inputs):
                return inputs
        def callback(grads):
            return grads
        REGISTER = nn.register(callback)
        def direct(values):
            return values
        def called(mapping):
            return direct(1), spread(**mapping)
        def spread(first):
            return first
        """
    )
    short = shortened(a=source, words=["Layer", "called", "REGISTER"])["pgolf.a"]
    assert "callback" not in short
    assert "state_dict" in short and "grads" in short and "first" in short
    assert "local" not in short and "inputs" not in short and "values" not in short


@pytest.mark.parametrize("way", ["return locals()", "class C:\n  total=1\n return C", "return eval('total')"])
def test_functions_whose_names_can_be_seen_are_left_alone(way):
    assert "total" in shortened(a=f"def f():\n total=2\n {way}\n", words=["f"])["pgolf.a"]


def test_defaults_belong_to_the_scope_around():
    short = shortened(a="limit = 2\ndef f(a=limit):\n limit = 3\n return a, limit\n", b="", words=["f"])
    names: dict = {}
    exec(short["pgolf.a"], names)
    assert names["f"]() == (2, 3)
