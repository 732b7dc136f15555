import ast
import textwrap

from pgolf.bundle.minify import minified
from pgolf.bundle.strip import stripped


def strip(source):
    return ast.unparse(stripped(ast.parse(textwrap.dedent(source))))


def minified_strip(source):
    """As a bundle has it."""
    return minified(strip(source))


def test_types_and_self_checks_are_taken_out():
    text = strip(
        '''
        """Module."""
        from __future__ import annotations
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            import torch
        LIMIT: int = 3
        LATER: str
        class A:
            """Class."""
            size: int
            def f(self, x: int, *rest: str, y: float = 1.0) -> torch.Tensor:
                """Method."""
                z: int = x
                assert z > 0, "positive"
                return z
        '''
    )
    for word in ("__future__", "import torch", "LATER", "size", "int", "float", "Tensor", "positive"):
        assert word not in text
    assert "LIMIT = 3\n" in text and "def f(self, x, *rest, y=1.0):\n" in text and "z = x\n" in text


def test_a_body_of_words_alone_still_parses():
    assert strip("for x in y:\n    assert x") == "for x in y:\n    pass"
    assert strip("class A:\n    x: int") == "class A:\n    pass"


def test_what_only_a_type_checker_sees_goes_and_the_else_stays():
    source = "if TYPE_CHECKING:\n    import a\nelse:\n    import b\nif __name__ == '__main__':\n    main()\n"
    assert minified(strip(source)) == "import b"


def test_a_dataclass_keeps_its_fields_their_order_and_their_defaults():
    source = minified_strip(
        '''
        from dataclasses import dataclass, field
        from typing import ClassVar
        @dataclass(frozen=True, slots=True)
        class A:
            """Facts."""
            a: "int"
            b: list[int] = field(default_factory=list)
            kind: ClassVar[int] = 3
            def total(self) -> int:
                return self.a + sum(self.b)
        '''
    )
    names: dict = {}
    exec(source, names)
    made = names["A"](1, [2])
    assert made.total() == 3 and made == names["A"](a=1, b=[2]) and made.kind == 3
    assert "list[int]" not in source


def test_an_operator_of_torch_keeps_the_annotations_its_schema_is_made_of():
    source = minified_strip(
        """
        @torch.library.custom_op("a::b", mutates_args=())
        def op(x: Tensor, n: int) -> Tensor:
            return x * n
        """
    )
    assert "def op(x:Tensor,n:int)->Tensor:" in source
