import ast
import textwrap

from pgolf.bundle.strip import stripped


def strip(source):
    return ast.unparse(stripped(ast.parse(textwrap.dedent(source))))


def test_words_for_readers_and_types_are_taken_out():
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
    assert text == (
        "from typing import TYPE_CHECKING\nLIMIT = 3\n\nclass A:\n\n"
        "    def f(self, x, *rest, y=1.0):\n        z = x\n        return z"
    )


def test_a_body_of_words_alone_still_parses():
    assert strip('def f():\n    """Only words."""') == "def f():\n    pass"
    assert strip("for x in y:\n    assert x") == "for x in y:\n    pass"


def test_a_dataclass_keeps_its_fields_their_order_and_their_defaults():
    source = strip(
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
    source = strip(
        """
        @torch.library.custom_op("a::b", mutates_args=())
        def op(x: Tensor, n: int) -> Tensor:
            return x * n
        """
    )
    assert "def op(x: Tensor, n: int) -> Tensor:" in source
