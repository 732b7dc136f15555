import ast
import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest

import pgolf
from pgolf.artifact import container
from pgolf.core.errors import ArtifactError, ConfigError
from pgolf.eval import sealed as road
from pgolf.eval.evaluation import make_score, score_stream
from pgolf.eval.from_artifact import evaluation_from
from pgolf.eval.sealed import IMPORTED, SealedError, SealedScore, check_sealed, final_score, score_sealed
from pgolf.proof.cheat_child import program
from pgolf.proof.shelf import stream_of
from tests.processes import descendants, until
from tests.proof.making import DOCUMENTS, eval_node, write_artifact

ROOT = Path(pgolf.__file__).resolve().parents[1]
# What the sealed process is made of.
SEALED = ("arch", "artifact", "compressor", "core", "eval", "mixer", "ngram", "quant", "tokenizer", "ttt")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return write_artifact(tmp_path_factory.mktemp("sealed") / "a.pgolf")


@pytest.fixture(scope="module")
def evaluation(artifact):
    return evaluation_from(container.read(artifact))


@pytest.fixture(scope="module")
def tokens_N(evaluation):
    return stream_of(evaluation, DOCUMENTS)[0]


def test_sealed_score_equals_the_score_of_this_process(artifact, evaluation, tokens_N):
    seen = []
    sealed = score_sealed(artifact, tokens_N, threads=1, progress=lambda _, done, total: seen.append((done, total)))
    here = score_stream(evaluation, tokens_N, split="val", subset=True)
    score = make_score(
        evaluation, tokens_N, sealed.nll_nats_N, split="val", subset=True, seconds=sealed.seconds, valid=True
    )
    assert score.val_bpb == pytest.approx(here.val_bpb, abs=1e-9)
    assert sealed.complete
    assert sealed.violations == ()
    assert seen[-1] == (len(tokens_N) - 1, len(tokens_N) - 1)
    assert [sent for sent, _ in sealed.reveals] == [129, 257, 385, len(tokens_N)]
    assert sealed.facts["artifact_sha256"] == container.read(artifact).sha256
    assert sealed.facts["working_directory_entries"] == 0
    assert sealed.peak_bytes > 0


def test_overrides_reach_the_sealed_process(artifact, tokens_N):
    sealed = score_sealed(artifact, tokens_N, threads=1, overrides={"eval": eval_node(chunk_tokens=256)})
    assert len(sealed.reveals) == 2
    assert sealed.facts["overrides"] == ["eval"]


def test_a_damaged_artifact_is_the_same_error_as_here(artifact, tokens_N, tmp_path):
    data = bytearray(artifact.read_bytes())
    data[len(data) // 2] ^= 1
    broken = tmp_path / "broken.pgolf"
    broken.write_bytes(bytes(data))
    with pytest.raises(ArtifactError, match="SHA-256"):
        score_sealed(broken, tokens_N, threads=1)
    with pytest.raises(ConfigError, match="fixed by the artifact"):
        score_sealed(artifact, tokens_N, threads=1, overrides={"arch": {}})


def test_a_crash_shows_the_sealed_processs_own_message(artifact):
    with pytest.raises(SealedError, match=r"(?s)status 1.*(out of bounds|out of range)"):
        score_sealed(artifact, np.array([1, 60000, 60000], dtype=np.uint16), threads=1)


def test_time_over_ends_the_sealed_process(artifact, tokens_N):
    with pytest.raises(SealedError, match=r"ended after 0\.05 s; .* larger budget.eval_seconds"):
        score_sealed(artifact, tokens_N, threads=1, limit_seconds=0.05)


def test_refused_access_is_reported_even_when_swallowed(artifact, tokens_N):
    sealed = score_sealed(artifact, tokens_N, threads=1, program=program("file_reader"))
    assert sealed.complete
    (violation,) = sealed.violations
    assert (violation.kind, violation.event) == ("access", "open")
    assert violation.what.endswith("pgolf-side-counts.npy")


def test_final_score_counts_given_bytes_and_is_no_number_where_a_score_is_missing(evaluation, tokens_N):
    targets = len(tokens_N) - 1
    sealed = SealedScore(np.ones(targets), 1.0, (), (), 0, {})
    score = final_score(evaluation, tokens_N, sealed, True, np.full(targets, 2))
    assert score.bytes == 2 * targets and score.val_bpb == pytest.approx(0.5 / np.log(2))
    assert score.subset and not score.valid
    broken = SealedScore(np.full(targets, np.nan), 1.0, (), (), 0, {})
    assert np.isnan(final_score(evaluation, tokens_N, broken, False).val_bpb)


def test_kernels_chosen_by_the_environment_are_the_sealed_processs_too(monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    monkeypatch.setenv("PYTHONPATH", "/texts")
    passed_on = road._environment(1)
    assert passed_on["ATEN_CPU_CAPABILITY"] == "avx2" and "PYTHONPATH" not in passed_on


def test_the_list_of_what_evaluation_imports_is_complete():
    found = set()
    for path in (path for package in SEALED for path in (ROOT / "pgolf" / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    foreign = found - set(sys.stdlib_module_names) - {"pgolf", "typing_extensions"}  # the last for mypy alone
    assert foreign == set(IMPORTED)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that evaluation needs, in a folder of the import path: as a copy, without what pip leaves."""
    (tmp_path / "needed_here").mkdir()
    (tmp_path / "needed_here" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(road, "IMPORTED", ("numpy", "needed_here"))
    return tmp_path


def test_a_package_the_sealed_process_would_not_find_is_refused_at_once(package):
    began = time.perf_counter()
    with pytest.raises(ConfigError, match="would not find needed_here of ") as caught:
        check_sealed()
    assert f" of {package}. It gets" in str(caught.value)
    assert time.perf_counter() - began < 5
    (package / "needed_here-1.0.dist-info").mkdir()
    check_sealed()


def test_another_copy_of_a_package_is_refused(package, monkeypatch):
    (package / "needed_here-1.0.dist-info").mkdir()
    monkeypatch.setattr(road, "origin_of", lambda name: f"/elsewhere/{name}/__init__.py")
    with pytest.raises(ConfigError, match="would not find numpy, needed_here of /elsewhere"):
        check_sealed()


def test_a_python_that_does_not_start_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ConfigError, match="-I does not start"):
        check_sealed()
    (tmp_path / "python").write_text("#!/bin/sh\necho no standard library >&2\nexit 3\n")
    (tmp_path / "python").chmod(0o755)
    with pytest.raises(ConfigError, match=r"status 3:\nno standard library"):
        check_sealed()


SCORE = """
import sys, numpy as np
from pgolf.eval.sealed import check_sealed, score_sealed
check_sealed()
tokens_N = np.fromfile(sys.argv[2], dtype=np.uint16)
sealed = score_sealed(sys.argv[1], tokens_N, threads=1)
print(sealed.violations, sealed.nll_nats_N.sum().hex())
"""


@pytest.mark.parametrize("place", ["user site", "PYTHONPATH"])
def test_packages_outside_any_environment_reach_the_sealed_process(place, artifact, tokens_N, tmp_path):
    """The interpreter below the environment of these tests, which has none of their packages."""
    plain = Path(sys._base_executable)
    environment = {
        "OMP_NUM_THREADS": "1",
        "PYTHONUSERBASE": str(tmp_path / "user"),
        "PATH": os.environ["PATH"],
    }
    if place == "user site":
        ask = [plain, "-m", "site", "--user-site"]
        link = Path(subprocess.run(ask, env=environment, capture_output=True, text=True).stdout.strip())
        options: list[str] = []
        environment["PYTHONPATH"] = str(ROOT)
    else:
        link, options = tmp_path / "modules", ["-S"]
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(link)])
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(sysconfig.get_paths()["purelib"])
    tokens_N.tofile(tmp_path / "tokens")
    done = subprocess.run(
        [plain, *options, "-c", SCORE, artifact, tmp_path / "tokens"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    here = score_sealed(artifact, tokens_N, threads=1)
    assert done.stdout.split() == ["()", here.nll_nats_N.sum().hex()], done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it ends with its chunk")
def test_the_sealed_process_dies_with_the_one_that_started_it(artifact, tmp_path):
    """In the middle of a chunk that takes minutes, so that no closed pipe is noticed."""
    np.full(60_000, 100, dtype=np.uint16).tofile(tmp_path / "tokens")
    slow = repr({"eval": eval_node(stride=1, chunk_tokens=60_000)})
    program = SCORE.replace("threads=1", f"threads=1, overrides={slow}")
    parent = subprocess.Popen([sys.executable, "-c", program, artifact, tmp_path / "tokens"], cwd=ROOT)
    try:
        (child,) = until(lambda: [seen for seen in descendants(parent.pid) if seen.cpu_seconds > 6], 120)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        until(lambda: not child.alive(), 5)
    finally:
        parent.kill()
        parent.wait()
