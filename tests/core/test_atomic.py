import errno
import os

import pytest

from pgolf.core.atomic import write_bytes_atomic, write_text_atomic
from pgolf.core.errors import RunError


def test_new_and_replaced_files_hold_exactly_what_was_written(tmp_path):
    path = tmp_path / "a.txt"
    for text in ("first\r\nline é\n", ""):
        write_text_atomic(path, text)
        assert path.read_bytes() == text.encode()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failure_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path, monkeypatch, call):
    path = tmp_path / "a.bin"
    write_bytes_atomic(path, b"old")

    def fail(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(RunError, match=r"a\.bin.*No space left on device.*untouched"):
        write_bytes_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_interruption_leaves_nothing_beside_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    write_bytes_atomic(path, b"old")

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_directory_is_a_clear_error(tmp_path):
    with pytest.raises(RunError, match=r"cannot write .*nowhere.*No such file"):
        write_bytes_atomic(tmp_path / "nowhere" / "a", b"x")


def test_names_that_are_not_utf8_are_written_as_the_bytes_they_are(tmp_path):
    write_text_atomic(tmp_path / "a.txt", os.fsdecode(b"caf\xe9\n"))
    assert (tmp_path / "a.txt").read_bytes() == b"caf\xe9\n"
