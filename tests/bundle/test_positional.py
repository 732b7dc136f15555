import ast

import pytest

from pgolf.bundle.minify import minified
from pgolf.bundle.positional import positional


def marked(*sources, words=(), foreign=None):
    trees = {str(place): ast.parse(source) for place, source in enumerate(sources)}
    return [ast.unparse(tree) for tree in positional(trees, words, foreign or {}).values()]


def test_a_parameter_that_no_call_names_is_shortened_where_it_stands():
    (text,) = marked("def f(first, second):\n    return first + second\nf(1, 2)\n")
    assert "def f(first, second, /)" in text
    assert minified(text) == "def f(A,B):return A+B\nf(1,2)"


TWO = "def f(first, second):\n    return first + second\n"
HERE = "from pgolf.x import f\n"


@pytest.mark.parametrize(
    "calls",
    [
        "f(1, second=2)",
        "from pgolf.x import f as other\nother(1, second=2)",
        "x.f(1, second=2)",
        "f(1, **{'second': 2})",
        "def g(**given):\n    f(1, **given)\ng(second=2)",
        HERE + "kept = {1: f}\nkept[1](1, second=2)",
        HERE + "kept = f\nkept(1, second=2)",
        HERE + "self.kept = f\nself.kept(1, second=2)",
        HERE + "def g(called):\n    called(1, second=2)\ng(f)",
        HERE + "def g(called):\n    called(1, **{'second': 2})\ng(f)",
        HERE + "def choose(g):\n    return g\nchoose(f)(1, second=2)",
    ],
)
def test_one_that_a_call_may_name_keeps_its_name(calls):
    assert "def f(first, /, second)" in marked(TWO, calls)[0]


@pytest.mark.parametrize(
    "use",
    [
        HERE + "import other\nother.register(f)",
        HERE + "import other\nother.register(setup=f)",
        HERE + "from other import register\nregister(f)",
    ],
)
def test_what_another_package_gets_keeps_all_its_names(use):
    assert "def f(first, second)" in marked(TWO, use)[0]
    assert "def f(first, second)" in marked(f"import other\n@other.register\n{TWO}")[0]


def test_what_a_decorator_of_this_package_gets_may_be_called_by_any_name():
    assert "def f(first, second, /)" in marked(f"from pgolf.x import ours\n@ours\n{TWO}")[0]
    assert "def f(first, /, second)" in marked(f"from pgolf.x import ours\n@ours\n{TWO}", "kept(1, second=2)")[0]


def test_what_the_config_names_keeps_what_the_config_says():
    assert "def f(first, /, second)" in marked(TWO, words=["f", "second"])[0]
    assert "def f(first, second, /)" in marked(TWO, words=["second"])[0]


def test_a_constructor_is_called_by_the_name_of_its_class_or_of_an_heir():
    base = "class A:\n    def __init__(self, first, second):\n        pass\n"
    assert "__init__(self, first, second, /)" in marked(base, "A(1, 2)")[0]
    for calls in ("A(1, second=2)", "class B(A):\n    pass\nB(1, second=2)", "super().__init__(1, second=2)"):
        assert "__init__(self, first, /, second)" in marked(base, f"from pgolf.x import A\n{calls}")[0], calls
    assert "__init__(self, first, second, /)" in marked(base, "from pgolf.x import A\nisinstance(x, A)\ny(second=2)")[0]
    assert "__init__(self, first, /, second)" in marked(base, "from pgolf.x import A\nz = A\nz(second=2)")[0]


def test_a_base_from_another_package_knows_the_parameters_it_has_itself():
    method = "class A(Outside):\n    def hook(self, given, more):\n        pass\n"
    assert "hook(self, given, /, more)" in marked(method, foreign={"hook": ["self", "more"]})[0]
    assert "hook(self, given, more, /)" in marked(method, foreign={"other": ["more"]})[0]


def test_defaults_stay_with_their_parameters():
    (text,) = marked("def f(first, second=2, third=3):\n    return first\nf(1, third=4)\n")
    assert "def f(first, second=2, /, third=3)" in text


def test_the_same_answer_is_the_same_tree_and_leaves_the_one_it_came_from_alone():
    tree = ast.parse(TWO)
    one, other = (positional({"a": tree}, (), {})["a"] for _ in range(2))
    assert one is other and one is not tree
    assert "/" not in ast.unparse(tree)


def test_only_a_method_of_an_object_gets_its_first_parameter_without_being_called_with_it():
    method = "class A:\n    @staticmethod\n    def f(first, second):\n        pass\n"
    assert "def f(first, second):" in marked(method, "A.f(first=1, second=2)")[0]
    assert "def f(self, second, /):" in marked("class A:\n    def f(self, second):\n        pass\n", "a.f(self=1)")[0]
