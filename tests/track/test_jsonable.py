import json
import os
from pathlib import Path

import numpy as np
import torch

from pgolf.track.jsonable import to_json, to_plain


def test_everything_a_run_holds_becomes_strict_json():
    value = {
        "path": Path("a/b"),
        "nan": float("nan"),
        "inf": -float("inf"),
        "np": np.float32(0.5),
        "array": np.arange(3),
        "tensor": torch.tensor(2),
        "tuple": (1, True, None, "é"),
        3: {"x"},
    }
    plain = to_plain(value)
    assert plain == json.loads(to_json(value))
    assert plain["nan"] is None and plain["inf"] is None
    assert plain["np"] == 0.5 and plain["array"] == [0, 1, 2] and plain["tensor"] == 2
    assert plain["tuple"] == [1, True, None, "é"] and plain["3"] == ["x"] and plain["path"] == "a/b"
    assert "é" in to_json(value)


def test_nan_inside_arrays_is_null():
    assert to_plain(np.array([1.0, float("nan")])) == [1.0, None]


def test_names_that_have_no_utf8_form_are_escaped_and_come_back():
    name = os.fsdecode(b"caf\xe9")
    text = to_json({name: Path(name)}, indent=1)
    assert json.loads(text.encode()) == {name: name}
