"""What a sealed process runs: the counted script and, of this package, nothing else."""

import gc
from pathlib import Path

import numpy as np
import pytest

import pgolf
from pgolf.artifact import container
from pgolf.bundle.script import make_serving, script_of
from pgolf.compressor.range import Range
from pgolf.core import prediction, ranks
from pgolf.eval import source as labels
from pgolf.eval.sealed import run_sealed, score_sealed
from pgolf.eval.source import PackageSource, ScriptSource
from pgolf.proof.audit import Judge
from pgolf.run.rescore import source_of
from pgolf.tokenizer.bytes import ByteTokenizer
from tests.eval import stages
from tests.proof.making import write_artifact

PACKAGE = Path(pgolf.__file__).resolve().parent
TOKENS_N = np.concatenate([[256], np.frombuffer(b"Of two boats one is a stone's throw away. " * 3, np.uint8)])
TOKENS_N = TOKENS_N.astype(np.uint16)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return write_artifact(tmp_path_factory.mktemp("source") / "a.pgolf")


@pytest.fixture(scope="module")
def script(artifact):
    return source_of(artifact, container.read(artifact), {}).script


@pytest.fixture(scope="module")
def sealed(artifact, script):
    return score_sealed(artifact, TOKENS_N, threads=1, source=ScriptSource(script))


def test_the_script_gives_the_scores_of_the_package_to_the_bit(artifact, script, sealed):
    package = score_sealed(artifact, TOKENS_N, threads=1)
    assert sealed.complete and sealed.violations == ()
    assert np.array_equal(sealed.nll_nats_N, package.nll_nats_N) and np.array_equal(sealed.sum_p_N, package.sum_p_N)
    assert (sealed.facts["code"], package.facts["code"]) == (labels.SCRIPT, labels.PACKAGE)
    assert sealed.facts["script_sha256"] == ScriptSource(script).sha256 and "script_sha256" not in package.facts


def test_the_script_hands_over_the_rows_of_its_scores(artifact, script, sealed):
    drawn = [0, 31, 32, len(TOKENS_N) - 2]
    judge = Judge(TOKENS_N, sealed.nll_nats_N, np.array(drawn), 260)
    run = run_sealed("audit", artifact, len(TOKENS_N), judge, threads=1, source=ScriptSource(script))
    assert (run.violations, sorted(judge.found)) == ((), drawn)
    assert max(abs(difference) for difference, _, _ in judge.found.values()) < 1e-5


def test_stages_are_compiled_in_the_script_as_in_the_package_and_not_again_by_a_second_process(artifact, tmp_path):
    """As a technique's own module, whose kernels a second process need not compile again."""
    more = {"pgolf.ngram.of_a_test": stages.__file__, "pgolf.core.prediction": prediction.__file__}
    more["pgolf.core.ranks"] = ranks.__file__  # which the module before reads, whole
    named = {"ngram": {"_target_": "pgolf.ngram.of_a_test.counts"}, "mixer": {"_target_": "pgolf.ngram.of_a_test.mean"}}
    made = make_serving(container.read(artifact).header, ["zlib"], ["fp32", "fp16"], ByteTokenizer)
    texts = {name: Path(file).read_text() for name, file in more.items()}
    source = ScriptSource(script_of({**made.sources, **texts}, made.config))
    learning = write_artifact(tmp_path / "a.pgolf", **named)
    sealed = score_sealed(learning, TOKENS_N, threads=1, source=source)
    assert sealed.violations == () and sealed.complete
    kept = counted(source.kernels)
    assert [name for name in kept if "learn_count" in name] and [name for name in kept if "CountsOfATest" in name]
    again = score_sealed(learning, TOKENS_N, threads=1, source=source)
    assert np.array_equal(again.nll_nats_N, sealed.nll_nats_N) and counted(source.kernels) == kept
    program = "from dataclasses import replace\nfrom pgolf.eval.serve import serve\n"
    program += "from tests.eval.stages import counts, mean\n"
    program += "serve(order, questions, answers, lambda e: replace(e, ngram=counts(), mixer=mean()))"
    package = score_sealed(artifact, TOKENS_N, threads=1, source=PackageSource(program, (str(PACKAGE.parent),)))
    assert np.array_equal(sealed.nll_nats_N, package.nll_nats_N)


def counted(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow  # the kernels of stages show it too
def test_a_second_process_of_a_script_does_not_compile_the_range_coder_again(tmp_path):
    """It gets what the first had compiled before it was told anything of the stream."""
    artifact = write_artifact(tmp_path / "plain.pgolf")
    loaded = container.read(artifact)
    data = container.encode(loaded.header, loaded.state, loaded.tokenizer_blob, Range())
    container.write(tmp_path / "range.pgolf", data)
    source = source_of(tmp_path / "range.pgolf", container.read(tmp_path / "range.pgolf"), {})
    assert counted(source.kernels) == []
    first = score_sealed(tmp_path / "range.pgolf", TOKENS_N, threads=1, source=source)
    kept = counted(source.kernels)
    assert [name for name in kept if "code_weights" in name and name.endswith(".nbc")]
    again = score_sealed(tmp_path / "range.pgolf", TOKENS_N, threads=1, source=source)
    assert counted(source.kernels) == kept and np.array_equal(first.nll_nats_N, again.nll_nats_N)
    assert first.violations == again.violations == ()


LATE = """
from pathlib import Path
from pgolf.eval import remote
ask = remote.Line.ask
def told(line, block):
    tokens = ask(line, block)
    Path(order["reach"]["writable"][1], "told").write_bytes(tokens.tobytes())
    return tokens
remote.Line.ask = told
"""


def test_nothing_that_was_written_once_the_stream_is_told_reaches_another_process(artifact, script):
    """Or the audited process would find the stream among the kernels."""
    code = b"\nfrom pgolf.eval import serve as home\nhonest = home.serve\n"
    code += b"def serve(order, *pipes):\n    exec(LATE, {'order': order})\n    return honest(order, *pipes)\n"
    code += b"home.serve = serve\nLATE = " + repr(LATE).encode()
    source = ScriptSource(script + code)
    sealed = score_sealed(artifact, TOKENS_N, threads=1, source=source)
    assert sealed.complete and sealed.violations == () and "told" not in counted(source.kernels)


def test_what_a_script_leaves_goes_with_it(script):
    source = ScriptSource(script)
    folder = source.path.parent
    assert source.path.read_bytes() == script and folder.is_dir()
    del source
    gc.collect()
    assert not folder.exists()


# A data file beside a module, and a module that is imported by a name which is nowhere written: what is counted is not
# what would run. The file is read by compiled code, of which the hook knows nothing.
CHEATS = {
    "a file beside a module": "torch.from_file({aside!r}, size=4, dtype=torch.uint8).tolist()",
    "a module by a computed name": "len(import_module('.'.join(['pgolf', 'proof', 'profiles'])).PROFILES)",
    "a module beside those it carries": "len(import_module('pgolf.eval.' + 'split').plain_windows.__name__)",
}
CHEAT = """
import torch
from importlib import import_module
from pgolf.eval import serve as home
def tried(attempt):
    try:
        return str(eval(attempt))
    except (OSError, RuntimeError, ImportError) as error:
        return f"refused: {{error}}"
honest = home.serve
home.serve = lambda *rest: honest(*rest) | {{"tried": {{name: tried(do) for name, do in {cheats!r}.items()}}}}
"""


@pytest.fixture(scope="module")
def tried(artifact, script):
    """What a script comes to that reaches for more than it carries, and what the whole package would have."""
    aside = str(PACKAGE / "eval" / "sealed.py")  # there, and in no script
    code = CHEAT.format(cheats={name: text.format(aside=aside) for name, text in CHEATS.items()})
    carried = score_sealed(artifact, TOKENS_N, threads=1, source=ScriptSource(script + code.encode()))
    program = code + "facts = home.serve(order, questions, answers)"
    package = score_sealed(artifact, TOKENS_N, threads=1, source=PackageSource(program))
    return carried, package


@pytest.mark.parametrize("cheat", list(CHEATS))
def test_what_is_not_counted_is_out_of_reach(tried, cheat):
    carried, package = tried
    assert carried.complete
    if "landlock" in carried.facts["isolation"] or "module by" in cheat:
        assert carried.facts["tried"][cheat].startswith("refused")
    assert not package.facts["tried"][cheat].startswith("refused"), "it would be there otherwise"


def test_nothing_of_the_package_is_left_when_the_script_begins(artifact, script):
    """Not the modules that the judge itself was made of, whose copies would do as well."""
    before = b"import sys\nfound = [name for name in sys.modules if name.split('.')[0] == 'pgolf']\n"
    head, _, rest = script.partition(b"\n")
    code = b"\nfrom pgolf.eval import serve as home\nhonest = home.serve\n"
    code += b"home.serve = lambda *rest: honest(*rest) | {'found': found}\n"
    source = ScriptSource(head + b"\n" + before + rest + code)
    assert score_sealed(artifact, TOKENS_N, threads=1, source=source).facts["found"] == []
