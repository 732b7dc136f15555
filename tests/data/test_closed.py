import os
from types import SimpleNamespace

import numpy as np
import pytest

from pgolf.build import prepare_dataset
from pgolf.data.closed import ValidationClosed, closed
from pgolf.run import stages
from tests.helpers import tiny_settings


@pytest.fixture
def files(tmp_path):
    (tmp_path / "val").mkdir()
    for name in ("val/one.bin", "val/two.bin", "train.bin"):
        (tmp_path / name).write_bytes(bytes(16))
    return tmp_path


WAYS = {
    "open": lambda path: open(path, "rb").close(),
    "os.open": lambda path: os.close(os.open(path, os.O_RDONLY)),
    "bytes": lambda path: open(os.fsencode(path), "rb").close(),
    "read_bytes": lambda path: path.read_bytes(),
    "memmap": lambda path: np.memmap(path, mode="r"),
    "another spelling": lambda path: (path.parent / ".." / path.parent.name / path.name).read_bytes(),
}


@pytest.mark.parametrize("way", list(WAYS))
def test_what_is_closed_cannot_be_opened_and_afterwards_it_can(files, way):
    with closed([files / "val" / "one.bin"]):
        with pytest.raises(ValidationClosed, match=r"one\.bin"):
            WAYS[way](files / "val" / "one.bin")
        WAYS[way](files / "val" / "two.bin")
        WAYS[way](files / "train.bin")
    WAYS[way](files / "val" / "one.bin")


def test_a_folder_is_closed_with_all_that_is_in_it_and_nothing_beside_it(files):
    (files / "validation").write_bytes(b"")
    with closed([files / "val"]):
        with pytest.raises(ValidationClosed):
            (files / "val" / "two.bin").read_bytes()
        (files / "validation").read_bytes()


def test_a_link_to_it_is_closed_too(files):
    (files / "link").symlink_to(files / "val" / "one.bin")
    with closed([files / "val" / "one.bin"]), pytest.raises(ValidationClosed):
        (files / "link").read_bytes()


def test_an_error_inside_opens_it_again(files):
    with pytest.raises(KeyError), closed([files / "val"]):
        raise KeyError
    (files / "val" / "one.bin").read_bytes()


def test_while_a_run_trains_its_validation_is_closed_in_every_tokenizers_shards(tmp_path):
    cfg = tiny_settings("data=tiny", "tokenizer=bytes") | {"cache_dir": str(tmp_path)}
    other = prepare_dataset(tiny_settings("data=tiny", "tokenizer=bpe1024") | {"cache_dir": str(tmp_path)}, quiet)
    dataset = prepare_dataset(cfg, quiet)
    assert other.directory != dataset.directory
    with stages.validation_closed(SimpleNamespace(cfg=cfg), dataset):
        dataset.stream("train"), other.stream("train"), other.stream("dev")
        for one in (dataset, other):
            with pytest.raises(ValidationClosed):
                one.stream("val")
    other.stream("val")


def quiet(*_):
    """Progress that nobody watches."""
