import ast
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import pgolf
from pgolf.artifact import container
from pgolf.core.errors import ArtifactError, ConfigError, UserError
from pgolf.eval import home, library, zygote
from pgolf.eval import sealed as road
from pgolf.eval.evaluation import make_score, score_stream
from pgolf.eval.from_artifact import evaluation_from
from pgolf.eval.home import environment
from pgolf.eval.library import IMPORTED
from pgolf.eval.sealed import (
    SealedError,
    SealedScore,
    Violation,
    check_sealed,
    final_score,
    run_sealed,
    score_sealed,
)
from pgolf.eval.source import PackageSource
from pgolf.proof.audit import Judge, audit_sealed
from pgolf.proof.cheat_child import cheating
from pgolf.proof.shelf import stream_of
from pgolf.run.stages import with_audited_sums
from tests.eval.adamw import AdamW
from tests.eval.stages import counts, mean
from tests.processes import descendants, sealed_processes, until
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


@pytest.fixture(scope="module")
def progress():
    """What was told of it, of the run below."""
    return []


@pytest.fixture(scope="module")
def sealed_score(artifact, tokens_N, progress):
    return score_sealed(artifact, tokens_N, threads=1, progress=lambda *told: progress.append(told))


# --- what it answers --------------------------------------------------------------------------------------------


def test_sealed_score_equals_the_score_of_this_process(artifact, evaluation, tokens_N, sealed_score, progress):
    sealed = sealed_score
    here = score_stream(evaluation, tokens_N, split="val", subset=True)
    score = final_score(evaluation, tokens_N, sealed, True)
    assert score.val_bpb == pytest.approx(here.val_bpb, abs=1e-9)
    assert score.sum_p_max == pytest.approx(here.sum_p_max, abs=1e-9)
    assert sealed.complete
    assert sealed.violations == ()
    assert sealed.side_bits == 0.0
    assert progress[-1] == ("validation", len(tokens_N) - 1, len(tokens_N) - 1)
    assert sealed.facts["artifact_sha256"] == container.read(artifact).sha256
    assert sealed.facts["working_directory_entries"] == 0
    assert sealed.peak_bytes > 0 and sealed.seconds > 0 and 0 < sealed.facts["core_share"] <= 1


SLOW_TO_BEGIN = """
import time
time.sleep(1.0)
from pgolf.eval.serve import serve
facts = serve(order, questions, answers)
"""


def test_what_the_counted_code_does_before_its_first_question_is_in_its_seconds(artifact, tokens_N):
    """As loading and compiling are; #1855's clock began after both."""
    sealed = score_sealed(artifact, tokens_N, threads=1, source=PackageSource(SLOW_TO_BEGIN))
    assert sealed.complete and sealed.seconds > 1.0


def test_sealed_processes_give_the_same_bits_whatever_their_number_of_threads(artifact, tokens_N, sealed_score):
    other = score_sealed(artifact, tokens_N, threads=3)
    assert np.array_equal(other.nll_nats_N, sealed_score.nll_nats_N)
    assert np.array_equal(other.sum_p_N, sealed_score.sum_p_N)
    assert other.commitment == sealed_score.commitment
    assert (sealed_score.facts["threads"], other.facts["threads"]) == (1, 3)


def test_a_score_of_other_numbers_has_another_commitment():
    targets = np.arange(5.0)
    first, second = (
        SealedScore(nll_nats_N, np.ones(5), (0,), 0.0, 1.0, (), 0, {})
        for nll_nats_N in (targets, np.nextafter(targets, np.inf))
    )
    assert first.commitment != second.commitment and len(first.commitment) == 64


def test_overrides_reach_the_sealed_process(artifact, evaluation, tokens_N):
    node = eval_node(window=16, stride=16)
    sealed = score_sealed(artifact, tokens_N, threads=1, overrides={"eval": node})
    other = evaluation_from(container.read(artifact), overrides={"eval": node})
    here = score_stream(other, tokens_N, split="val", subset=True)
    assert final_score(other, tokens_N, sealed, True).val_bpb == pytest.approx(here.val_bpb, abs=1e-9)
    assert here.val_bpb != score_stream(evaluation, tokens_N, split="val", subset=True).val_bpb
    assert sealed.facts["overrides"] == ["eval"]


def test_an_audited_process_hands_over_the_rows_of_the_score(artifact, tokens_N, sealed_score):
    drawn = [0, 31, 32, 100, 101, len(tokens_N) - 2]
    judge = Judge(tokens_N, sealed_score.nll_nats_N, np.array(drawn), 260)
    run = run_sealed("audit", artifact, len(tokens_N), judge, threads=1)
    assert (run.violations, run.ended["ended"]) == ((), "done")
    assert sorted(judge.found) == drawn
    difference, total, _ = np.array(list(judge.found.values())).T
    np.testing.assert_allclose(difference, 0.0, atol=1e-5)
    np.testing.assert_allclose(total, 1.0, atol=1e-5)


WITH_STAGES = """
from dataclasses import replace
from pgolf.eval.serve import serve
from tests.eval.adamw import AdamW
from tests.eval.stages import counts, mean
facts = serve(order, questions, answers, lambda evaluation: replace(evaluation, ngram=counts(), mixer=mean()))
"""


def test_stages_work_in_the_sealed_process_and_ask_for_nothing_that_is_refused(artifact, evaluation, tokens_N):
    with_stages = dataclasses.replace(evaluation, ngram=counts(), mixer=mean())
    here = score_stream(with_stages, tokens_N, split="val", subset=True)
    sealed = score_sealed(artifact, tokens_N, threads=1, source=PackageSource(WITH_STAGES, (str(ROOT),)))
    score = final_score(with_stages, tokens_N, sealed, True)
    assert score.val_bpb == pytest.approx(here.val_bpb, abs=1e-7)
    assert score.traces == here.traces and score.traces[0].name == "mean.total"
    assert sealed.violations == ()


WITH_ADAMW = """
from dataclasses import replace
from pgolf.eval.serve import serve
from tests.eval.adamw import AdamW
facts = serve(order, questions, answers, lambda evaluation: replace(evaluation, ttt=AdamW()))
"""


def test_an_optimizer_of_torch_works_in_the_sealed_process_and_asks_for_nothing_that_is_refused(
    artifact, evaluation, tokens_N
):
    """torch.optim brings torch's compiler along, which wants a temporary folder."""
    adapting = dataclasses.replace(evaluation, ttt=AdamW())
    here = score_stream(adapting, tokens_N, split="val", subset=True)
    sealed = score_sealed(artifact, tokens_N, threads=1, source=PackageSource(WITH_ADAMW, (str(ROOT),)))
    assert sealed.violations == ()
    assert final_score(adapting, tokens_N, sealed, True).val_bpb == pytest.approx(here.val_bpb, abs=1e-7)
    assert here.val_bpb != score_stream(evaluation, tokens_N, split="val", subset=True).val_bpb


# --- what goes wrong --------------------------------------------------------------------------------------------


def test_a_damaged_artifact_is_the_same_error_as_here(artifact, tokens_N, tmp_path):
    data = bytearray(artifact.read_bytes())
    data[len(data) // 2] ^= 1
    broken = tmp_path / "broken.pgolf"
    broken.write_bytes(bytes(data))
    with pytest.raises(ArtifactError, match="SHA-256"):
        score_sealed(broken, tokens_N, threads=1)


def test_settings_that_do_not_fit_are_the_same_error_as_here(artifact, tokens_N):
    """Of their own class, which decides how a command ends."""
    with pytest.raises(ConfigError, match=r"eval\.stride: 999 is more than the window"):
        score_sealed(artifact, tokens_N, threads=1, overrides={"eval": eval_node(stride=999)})


def test_an_artifact_whose_header_does_not_fit_is_the_same_error_as_here(tokens_N, tmp_path):
    with pytest.raises(ArtifactError, match="route 'recurrent' in the header"):
        score_sealed(write_artifact(tmp_path / "a.pgolf", route="recurrent"), tokens_N, threads=1)


def test_a_last_message_that_is_an_error_is_raised_under_its_class():
    for name, kind in (("ConfigError", ConfigError), ("ArtifactError", ArtifactError), ("NoSuchError", UserError)):
        with pytest.raises(kind, match="what is wrong"):
            road._ended({"ended": "error", "class": name, "message": "what is wrong"})


def test_a_crash_shows_the_sealed_processs_own_message(artifact):
    with pytest.raises(SealedError, match=r"(?s)status 1.*(out of bounds|out of range)"):
        score_sealed(artifact, np.array([1, 60000, 60000], dtype=np.uint16), threads=1)


def test_time_over_ends_the_sealed_process(artifact, tokens_N):
    with pytest.raises(SealedError, match=r"ended after 0\.05 s; .* larger budget.eval_seconds"):
        score_sealed(artifact, tokens_N, threads=1, limit_seconds=0.05)


TALKS_ON = """
from pgolf.eval.frames import receive, send
send(answers, {"ready": True, "lane_starts": [0], "side_bits": 0.0})
while True:
    receive(questions)
    send(answers, {"ask": [0, 0, 0]})
"""


def test_an_audited_process_that_comes_to_no_further_token_is_ended(artifact, tokens_N):
    judge = Judge(tokens_N, np.ones(len(tokens_N) - 1), np.array([5]), 260)
    named = {"threads": 1, "source": PackageSource(TALKS_ON), "limit_seconds": 0.3}
    with pytest.raises(SealedError, match=r"ended after 0\.3 s in which it came to no further token"):
        run_sealed("audit", artifact, len(tokens_N), judge, **named)


def test_every_further_token_gives_an_audited_process_its_time_again():
    class Limit:
        extended = 0

        def extend(self):
            self.extended += 1

    judge = Judge(np.arange(9), np.ones(8), np.array([7]), 260)
    limit = Limit()
    answering = road._Onward(judge, limit)
    answering.answer({"ready": True, "lane_starts": [0], "side_bits": 0.0}, b"")
    extended = []
    for start, stop in ((0, 0), (0, 2), (0, 2), (2, 5)):
        answering.answer({"ask": [0, start, stop]}, b"")
        extended.append(limit.extended)
    assert extended == [0, 1, 1, 2]


def test_refused_access_is_reported_even_when_swallowed(artifact, tokens_N):
    sealed = score_sealed(artifact, tokens_N, threads=1, source=cheating("file_reader"))
    assert sealed.complete
    (violation,) = sealed.violations
    assert (violation.kind, violation.event) == ("access", "open")
    assert violation.what.endswith("pgolf-side-counts.npy")


def test_a_second_score_ends_the_sealed_process_and_is_reported(artifact, tokens_N):
    sealed = score_sealed(artifact, tokens_N, threads=1, source=cheating("settles_twice"))
    assert not sealed.complete
    assert sealed.violations == (Violation("double_score", "write", "position 0 was scored already"),)


ASKS_AHEAD = """
from pgolf.core.prediction import Span
from pgolf.eval import serve
from pgolf.eval.remote import RemoteScorer
class Ahead(RemoteScorer):
    def known(self, block):
        self._line.ask(Span(block.lane, block.context, block.stop + 100, block.stop + 101))
        return super().known(block)
serve.CODERS["score"] = Ahead
serve.serve(order, questions, answers)
"""


def test_a_question_out_of_turn_ends_the_sealed_process_and_is_reported(artifact, tokens_N):
    sealed = score_sealed(artifact, tokens_N, threads=1, source=PackageSource(ASKS_AHEAD))
    assert not sealed.complete and np.isnan(sealed.nll_nats_N).all()
    (violation,) = sealed.violations
    assert (violation.kind, violation.event) == ("out_of_turn", "score")
    assert "asked for the targets 132 to 133 of lane 0 out of turn" in violation.what


SAYS = """
from pgolf.eval.frames import receive, send
for message in {messages}:
    send(answers, *message)
receive(questions)
receive(questions)
"""
READY = ({"ready": True, "lane_starts": [0], "side_bits": 0.0}, b"")
NONSENSE = {
    "nothing": ({}, b""),
    "a list": (["ended", 1], b""),
    "a number": (5, b""),
    "an ask of words": ({"ask": ["a", "b", "c"]}, b""),
    "an ask of two": ({"ask": [0, 1]}, b""),
    "an ask without end": ({"ask": [0, 0, float("inf")]}, b""),
    "lanes that are none": ({"ready": True, "lane_starts": 5, "side_bits": 0.0}, b""),
    "a plan without bits": ({"ready": True, "lane_starts": [0]}, b""),
    "half a score": ({"scores": 1}, b"12345"),
    "scores of nothing": ({"scores": 0}, b""),
    "scores beyond the end": ({"scores": 1}, np.array([1e9, 1.0, 1.0]).astype("<f8").tobytes()),
    "scores nowhere": ({"scores": 1}, np.array([np.nan, 1.0, 1.0]).astype("<f8").tobytes()),
    "another plan": READY,
    "an end without violations": ({"ended": "done", "violations": 5}, b""),
    "an end with half of one": ({"ended": "done", "violations": [["open"]]}, b""),
    "an end without facts": ({"ended": "done", "facts": [1]}, b""),
}


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("what", list(NONSENSE))
def test_whatever_a_sealed_process_says_wrong_is_reported_and_breaks_nothing_here(artifact, tokens_N, what):
    says = SAYS.format(messages=[READY, NONSENSE[what]])
    sealed = score_sealed(
        artifact, tokens_N, threads=1, source=PackageSource(f"inf = float('inf'){says}"), limit_seconds=60
    )
    (violation,) = sealed.violations
    assert violation.kind == "out_of_turn" and not sealed.complete


TOO_MUCH = {
    "a header of four gigabytes": ("(0xFFFFFFFF, 0)", b"", "a message of"),
    "a payload of four gigabytes": ("(2, 0xFFFFFFFF)", b"{}", "a message of"),
    "nested too deep to read": ("(200000, 0)", b"[" * 100_000 + b"]" * 100_000, "levels deep"),
    "nested too deep to keep": ("(400, 0)", b"[" * 200 + b"]" * 200, "levels deep"),
}


@pytest.mark.parametrize("what", list(TOO_MUCH))
def test_a_message_that_would_take_too_much_is_reported_and_takes_nothing(artifact, tokens_N, what):
    sizes, header, told = TOO_MUCH[what]
    half = len(header) // 2
    first, last = header[:1], header[-1:]
    says = (
        "import struct\nfrom pgolf.eval.frames import receive\n"
        f"answers.write(struct.pack('<II', *{sizes}) + {first!r} * {half} + {last!r} * {half})\n"
        "answers.flush()\nreceive(questions)\nreceive(questions)\n"
    )
    sealed = score_sealed(artifact, tokens_N, threads=1, source=PackageSource(says), limit_seconds=60)
    (violation,) = sealed.violations
    assert violation.kind == "out_of_turn" and told in violation.what and not sealed.complete


TWO_PLANS = """
import numpy as np
from pgolf.eval.frames import receive, send
read, write = questions, answers
targets = order["stream_tokens"] - 1

def ask(message, payload=b""):
    send(write, message, payload)
    return np.frombuffer(receive(read)[1], dtype="<u2")

if order["task"] == "score":
    ask({"ready": True, "lane_starts": [0], "side_bits": 0.0})
    prices = np.zeros(targets)
    prices[-1] = np.log(260)
    send(write, {"scores": targets}, np.stack([np.arange(targets), prices, np.ones(targets)]).astype("<f8").tobytes())
else:
    lanes = list(range(targets))
    tokens = ask({"ready": True, "lane_starts": lanes, "side_bits": 16.0 * targets})
    for lane in lanes:
        if not len(ask({"ask": [lane, 0, 1]})):
            row = np.full(260, 1 / 260) if lane + 1 == targets else np.eye(260)[tokens[lane + 1]]
            ask({"row": lane}, row.astype("<f4").tobytes())
send(write, {"ended": "done", "violations": [], "facts": {}})
"""


def test_an_audited_process_with_another_plan_than_the_scorers_is_refused(artifact, tokens_N):
    """Here every token is the first of a lane, told before anything is predicted, at a price that is in no score."""
    sealed = score_sealed(artifact, tokens_N, threads=1, source=PackageSource(TWO_PLANS))
    assert sealed.complete and sealed.side_bits == 0.0
    audit = audit_sealed(artifact, tokens_N, sealed, 260, 100, 10, threads=1, source=PackageSource(TWO_PLANS))
    assert not audit.complete and [violation.kind for violation in audit.run.violations] == ["out_of_turn"]


# --- the record made of it --------------------------------------------------------------------------------------


def answered(nll_nats_N, sum_p_N, side_bits=0.0):
    return SealedScore(nll_nats_N, sum_p_N, (0,), side_bits, 1.0, (), 0, {})


def test_final_score_counts_given_bytes_and_side_bits(evaluation, tokens_N):
    targets = len(tokens_N) - 1
    sealed = answered(np.ones(targets), np.ones(targets), side_bits=100.0)
    score = final_score(evaluation, tokens_N, sealed, True, np.full(targets, 2))
    assert score.bytes == 2 * targets
    assert score.claimed_bpb == pytest.approx(0.5 / np.log(2))
    assert score.val_bpb == score.renormalised_bpb == pytest.approx(0.5 / np.log(2) + 100 / (2 * targets))
    assert score.side_bits == 100.0 and score.subset and not score.valid
    named = {"split": "val", "subset": True, "seconds": 1.0, "valid": False, "side_bits": 100.0}
    assert score == make_score(
        evaluation, tokens_N, np.ones(targets), np.ones(targets), target_bytes_N=np.full(targets, 2), **named
    )


def test_final_score_of_targets_priced_alone_has_the_sums_of_the_rows_that_were_seen(evaluation, tokens_N):
    targets = len(tokens_N) - 1
    unsummed = answered(np.ones(targets), np.full(targets, np.nan))
    score = final_score(evaluation, tokens_N, unsummed, False)
    assert score.val_bpb == final_score(evaluation, tokens_N, answered(*np.ones((2, targets))), False).val_bpb
    assert np.isnan([score.sum_p_mean, score.sum_p_max, score.renormalised_bpb]).all()
    seen = with_audited_sums(score, np.array([1.0, 1.5]))
    assert (seen.sum_p_mean, seen.sum_p_max) == (1.25, 1.5)
    assert with_audited_sums(seen, np.array([9.0])) is seen and with_audited_sums(score, np.zeros(0)) is score


@pytest.mark.parametrize(
    ("nll_nats", "sum_p"),
    [(np.nan, 1.0), (1.0, np.nan), (np.inf, 1.0), (1.0, np.inf), (1.0, 0.0), (1.0, -1.0)],
    ids=["no score", "no sum", "an infinite score", "an infinite sum", "a row of nothing", "a negative row"],
)
def test_final_score_is_no_number_where_a_position_has_no_price(evaluation, tokens_N, nll_nats, sum_p):
    nll_nats_N, sum_p_N = np.ones(len(tokens_N) - 1), np.ones(len(tokens_N) - 1)
    nll_nats_N[5], sum_p_N[5] = nll_nats, sum_p
    score = final_score(evaluation, tokens_N, answered(nll_nats_N, sum_p_N), False)
    assert np.isnan([score.val_loss, score.val_bpb, score.claimed_bpb, score.renormalised_bpb]).all()
    assert not score.valid and score.tokens == len(tokens_N) - 1


# --- what it can reach ------------------------------------------------------------------------------------------


def test_kernels_chosen_by_the_environment_are_the_sealed_processs_too(monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    monkeypatch.setenv("PYTHONPATH", "/texts")
    passed_on = environment(1, Path("/scratch"), Path("/kernels"))
    assert passed_on["ATEN_CPU_CAPABILITY"] == "avx2" and "PYTHONPATH" not in passed_on
    assert (passed_on["TMPDIR"], passed_on["NUMBA_CACHE_DIR"]) == ("/scratch", "/kernels")


def test_a_variable_of_the_environment_carries_no_bytes_that_nobody_counts(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "the validation text, " * 100)
    with pytest.raises(ConfigError, match="CUDA_VISIBLE_DEVICES: 'the validation text"):
        environment(1, Path("/scratch"), Path("/kernels"))


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
    (tmp_path / "beside.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for module in (road, library):
        monkeypatch.setattr(module, "IMPORTED", ("numpy", "needed_here"))
    return tmp_path


def test_a_package_reaches_the_sealed_process_without_what_lies_beside_it(package):
    check_sealed()
    files = library.library(own=False).files
    assert str(package / "needed_here") in files
    assert not [file for file in files if Path(file) in (package, package / "beside.py", ROOT / "pgolf")]


def test_a_package_the_sealed_process_would_not_find_is_refused_at_once(package, monkeypatch):
    shutil.make_archive(str(package / "zipped"), "zip", package, "needed_here")
    shutil.rmtree(package / "needed_here")
    monkeypatch.syspath_prepend(package / "zipped.zip")
    with pytest.raises(ConfigError, match="would not find needed_here of ") as caught:
        check_sealed()
    assert f" of {package / 'zipped.zip'}. It gets" in str(caught.value)


def test_another_copy_of_a_package_is_refused(package, monkeypatch):
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
from pgolf.eval.source import PackageSource
check_sealed()
tokens_N = np.fromfile(sys.argv[2], dtype=np.uint16)
sealed = score_sealed(sys.argv[1], tokens_N, threads=1)
print(sealed.violations, sealed.nll_nats_N.sum().hex())
"""


@pytest.mark.parametrize("place", ["user site", pytest.param("PYTHONPATH", marks=pytest.mark.slow)])
def test_packages_outside_any_environment_reach_the_sealed_process(place, artifact, tokens_N, sealed_score, tmp_path):
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
    assert done.stdout.split() == ["()", sealed_score.nll_nats_N.sum().hex()], done.stderr


WAITS = """
import time
open("begun", "w").close()
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it ends at its next question")
def test_the_sealed_process_dies_with_the_one_that_started_it(artifact, tokens_N, tmp_path):
    """At work that takes minutes, so that no closed pipe is noticed."""
    tokens_N.tofile(tmp_path / "tokens")
    starting = SCORE.replace("threads=1", f"threads=1, source=PackageSource({WAITS!r})")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", starting, artifact, tmp_path / "tokens"]
    parent = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        until(lambda: list(tmp_path.glob("*/scratch/begun")), 60)
        below = descendants(parent.pid)
        assert below
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        until(lambda: not any(seen.alive() for seen in below), 30)
    finally:
        parent.kill()
        parent.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at under /proc")
def test_a_run_that_is_interrupted_leaves_no_sealed_process_behind(artifact, tokens_N, monkeypatch):
    def interrupted(self, message, payload):
        assert sealed_processes(os.getpid())
        raise KeyboardInterrupt

    monkeypatch.setattr(home, "fork", zygote.fork)  # not the one whose zygotes tests share
    monkeypatch.setattr(road._Listening, "answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        score_sealed(artifact, tokens_N, threads=1)
    assert not sealed_processes(os.getpid())
