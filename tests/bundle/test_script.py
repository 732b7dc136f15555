import ast
import builtins
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from pgolf.artifact import container
from pgolf.bundle.folder import bundle_run, requirements
from pgolf.bundle.script import bundled_config, make_bundle, make_serving, opened, packages, script_of
from pgolf.cli.main import main
from pgolf.config.compose import compose, read_config, settings, to_yaml
from pgolf.config.schema import Root
from pgolf.core.errors import ArtifactError, ConfigError, RunError
from pgolf.data.tiny import Tiny
from pgolf.eval.from_artifact import OVERRIDABLE
from pgolf.run.bundled import DEFAULT_SEED
from pgolf.tokenizer.bpe import BPETokenizer
from tests import warm
from tests.helpers import SMOKE

ROOT = Path(__file__).resolve().parents[2]
# As by default, and with a target that takes a search: the script weighs itself as the run weighed it.
FITTED = ("quant=fitted_gptq", "quant.target_bytes=80000", "compressor=brotli")
# Anything of these that a bundle reached for would not be found.
BLOCKER = """
import runpy, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pgolf", "hydra", "omegaconf", "yaml", "rich", "wandb", "matplotlib"):
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)
sys.meta_path.insert(0, Block())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def environment(home):
    return {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(home)}


def script(path, *words, cwd):
    """Run a bundled script where none of pgolf, Hydra and the rest can be imported."""
    return subprocess.run(
        [sys.executable, "-I", "-B", "-c", BLOCKER, str(path), *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(cwd),
        timeout=300,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of train.py with a fixed number of steps, and the folder that ``pgolf bundle`` makes of it."""
    home = tmp_path_factory.mktemp("run")
    done = warm.run("train.py", *SMOKE, *FITTED, cwd=home, environment=environment(home))
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (home / "runs").glob("*/seed=1337")
    out = home / "out"
    bundle_run(run, out)
    return run, json.loads((run / "result.json").read_text()), out


def settings_of(*words):
    return settings(compose(list(words)))


@cache
def bundle_of(*words):
    return make_bundle(settings_of(*words))


def test_a_folder_has_script_artifact_requirements_and_readme(finished):
    run, result, out = finished
    assert {path.name for path in out.iterdir()} == {
        "train_gpt.py",
        "artifact.pgolf",
        "requirements.txt",
        "README.md",
    }
    assert (out / "artifact.pgolf").read_bytes() == (run / "artifact.pgolf").read_bytes()
    lines = (out / "requirements.txt").read_text().splitlines()
    assert [line.partition("==")[0].lower() for line in lines] == ["brotli", "numba", "numpy", "torch"]
    readme = (out / "README.md").read_text()
    assert result["artifact"]["sha256"] in readme and f"{result['artifact']['bytes_total']:,}" in readme
    assert "subset" in readme


def test_the_script_is_what_the_run_counted(finished):
    run, result, out = finished
    size = (out / "train_gpt.py").stat().st_size
    assert result["artifact"]["bytes_code"] == size and result["artifact"]["code_label"] == "bundle"
    again = make_bundle(read_config(run / "config.yaml"))
    assert again.script == (run / "train_gpt.py").read_bytes()


def test_the_script_scores_the_artifact_where_pgolf_cannot_be_imported(finished, tmp_path):
    _, result, out = finished
    done = script(out / "train_gpt.py", out / "artifact.pgolf", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    words = dict(word.split(":", 1) for word in done.stdout.split() if ":" in word)
    final = result["scores"]["final"]
    assert float(words["val_bpb"]) == pytest.approx(final["val_bpb"], abs=1e-6)
    assert float(words["val_loss"]) == pytest.approx(final["val_loss"], abs=1e-6)
    assert (int(words["tokens"]), int(words["bytes"])) == (final["tokens"], final["bytes"])


def test_the_script_trains_the_same_artifact_to_the_bit_in_an_empty_folder(finished, tmp_path):
    _, result, out = finished
    done = script(out / "train_gpt.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert container.read(tmp_path / "artifact.pgolf").sha256 == result["artifact"]["sha256"]
    assert "step:20 train_loss:" in done.stdout and "dev_bpb:" in done.stdout and "val_bpb:" in done.stdout


def test_the_script_in_ascii_runs_and_says_what_it_weighs(finished, tmp_path, capsys):
    run, result, _ = finished
    assert main(["bundle", str(run), str(tmp_path / "out"), "--ascii"]) == 0
    lines = capsys.readouterr().out.splitlines()
    written = (tmp_path / "out" / "train_gpt.py").read_bytes()
    assert written.isascii()
    assert any(f"counted {result['artifact']['bytes_code']:,} bytes (bundle)" in line for line in lines)
    assert any(f"the script has {len(written):,}" in line for line in lines)
    assert f"{len(written):,} bytes" in (tmp_path / "out" / "README.md").read_text()
    done = script(tmp_path / "out" / "train_gpt.py", tmp_path / "nothing.pgolf", cwd=tmp_path)
    assert done.returncode == 2 and "nothing.pgolf" in done.stdout and "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_script_in_ascii_gives_the_same_score(finished, tmp_path):
    run, result, _ = finished
    assert main(["bundle", str(run), str(tmp_path / "out"), "--ascii"]) == 0
    done = script(tmp_path / "out" / "train_gpt.py", tmp_path / "out" / "artifact.pgolf", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = dict(word.split(":", 1) for word in done.stdout.split() if ":" in word)
    assert float(found["val_bpb"]) == pytest.approx(result["scores"]["final"]["val_bpb"], abs=1e-6)


def test_the_script_says_what_is_wrong_in_one_line(finished, tmp_path):
    _, _, out = finished
    broken = tmp_path / "broken.pgolf"
    broken.write_bytes((out / "artifact.pgolf").read_bytes()[:-1])
    for words, expected in (
        ([broken], "truncated"),
        ([out / "artifact.pgolf", "--data", tmp_path], "no prepared data set here"),
    ):
        done = script(out / "train_gpt.py", *words, cwd=tmp_path)
        assert done.returncode == 2 and expected in done.stdout and "Traceback" not in done.stderr


def test_the_same_config_gives_the_same_bytes_saved_or_composed(tmp_path):
    cfg = settings_of("size=tiny", "data=tiny")
    first = bundle_of("size=tiny", "data=tiny").script
    (tmp_path / "config.yaml").write_text(to_yaml({**cfg, "machine": {"device": "cpu"}}))
    assert make_bundle(read_config(tmp_path / "config.yaml")).script == first
    assert make_bundle(settings_of("size=tiny", "data=tiny", "seed=3", "run_root=x", "notes=y")).script == first
    assert make_bundle(settings_of("size=tiny", "data=tiny", "optimizer.matrix_lr=0.5")).script != first


def test_the_order_of_words_changes_no_byte():
    one = bundle_of("size=tiny", "data=tiny", "hook=[wallclock,validate]", "arch/addon=[xsa,canon]")
    other = bundle_of("size=tiny", "data=tiny", "arch/addon=[canon,xsa]", "hook=[validate,wallclock]")
    assert one.script == other.script


def test_a_script_opens_to_what_went_in():
    bundle = bundle_of("size=tiny", "data=tiny")
    back = opened(bundle.script)
    assert (back.sources, back.config) == (bundle.sources, bundle.config)
    assert back.config["size"]["shard_tokens"] == 16384 and "seed" not in back.config


def test_a_script_in_ascii_opens_to_the_same_and_takes_no_other_characters():
    bundle = bundle_of("size=tiny", "data=tiny")
    plain = script_of(bundle.sources, bundle.config, ascii=True)
    back = opened(plain)
    assert (back.sources, back.config, back.script) == (bundle.sources, bundle.config, plain)
    assert plain.isascii() and not bundle.script.isascii()
    assert 1.1 * len(bundle.script) < len(plain) < 1.16 * len(bundle.script)


@pytest.mark.parametrize(
    "script",
    [
        b"print('hello')",
        b"",
        b"# coding:latin-1\nD='''none'''.encode('latin-1')\n",
        b"# coding:latin-1\nD='''\\N{NO}'''.encode('latin-1')\n",
        b"for c in'\xff\xff':n=n*121+A.index(c)\nD=n.to_bytes(2,'big')\n",
        b"for c in'abcdefgh':n=n*121+A.index(c)\nD=n.to_bytes(2,'big')\n",
    ],
)
def test_files_that_are_no_scripts_are_refused(script):
    with pytest.raises(ConfigError, match="no script that pgolf wrote"):
        opened(script)


def test_only_what_the_config_chose_is_carried():
    sources = bundle_of("size=tiny", "data=tiny", "compressor=brotli").sources
    assert "pgolf.compressor.brotli" in sources and "pgolf.data.tiny" in sources
    assert not {"pgolf.compressor.lzma", "pgolf.data.sotu", "pgolf.eval.sealed", "pgolf.config.check"} & set(sources)
    assert not any(name.startswith(("pgolf.track", "pgolf.proof", "pgolf.logger")) for name in sources)
    assert "sotu" in packages(bundle_of("size=tiny").sources)
    assert "sotu" not in packages(sources)


def test_the_default_bundle_asks_for_little_more_than_torch():
    """sotu is the embedded text itself; the run cannot train without it."""
    assert packages(bundle_of().sources) == ("numba", "numpy", "sentencepiece", "sotu", "torch")


@pytest.mark.parametrize("words", [("data=fineweb", "tokenizer=sp1024"), ("data=fineweb_docs",)], ids="+".join)
def test_sources_that_say_so_are_not_carried_and_their_shards_are_asked_for(words):
    bundle = make_bundle(settings_of("size=tiny", *words))
    assert bundle.config["data"] is None
    assert not any(name.startswith(("pgolf.data.fineweb", "pgolf.data.hub")) for name in bundle.sources)


def test_a_source_is_asked_whether_a_script_carries_it(monkeypatch):
    assert Tiny.bundled and bundle_of("size=tiny", "data=tiny").config["data"] is not None
    monkeypatch.setattr(Tiny, "bundled", False)
    assert bundled_config(settings_of("size=tiny", "data=tiny"))["data"] is None


def test_the_scripts_seed_is_the_one_that_runs_have_by_default():
    assert Root.seed == DEFAULT_SEED


STEPS = ("budget.train_steps=2",)
ROADS = [
    ("arch=pr1204", "quant=int5_gptq"),
    ("arch=pr1855", "quant=pr1855"),
    ("arch=mamba_hybrid", "quant=ternary"),
    ("arch=pr187_recurrent", "quant=mixed_gptq", "quant/calibration=self_generated"),
    ("arch=pr687", "quant=int5_rtn", "qat=ste", "tokenizer=bpe1024"),
    (
        "arch=pr1026",
        "quant=int5_rtn",
        "qat=crown_q",
        "loader=sequential",
        "eval=non_overlapping",
        "compressor=brotli",
    ),
    ("arch/addon=[bigram_hash,canon,smear_gate,value_embedding,xsa]", "train.compile=always"),
    ("ngram=interpolated", "mixer=bucketed"),
]


@pytest.mark.slow
@pytest.mark.parametrize("words", ROADS, ids="+".join)
def test_every_road_trains_and_scores_where_pgolf_cannot_be_imported(words, tmp_path):
    path, empty = tmp_path / "train_gpt.py", tmp_path / "empty"
    path.write_bytes(bundle_of(*SMOKE, *STEPS, *words).script)
    empty.mkdir()
    done = script(path, cwd=empty)
    assert done.returncode == 0 and "val_bpb:" in done.stdout, done.stdout + done.stderr


WORDS = [
    (),
    ("arch=parallel_recur",),
    ("arch=pr1204",),
    ("arch=pr1855",),
    ("arch=pr687",),
    ("arch=mamba_hybrid", "data=text", "data.paths=[a.txt]"),
    ("tokenizer=bytes", "compressor=lzma", "loader=sequential"),
    ("ngram=interpolated", "mixer=bucketed"),
]


def serving_of(*words, codecs=("range",), schemes=("grid", "fp16"), tokenizer=BPETokenizer):
    cfg = settings_of("size=tiny", *words)
    return make_serving({name: cfg[name] for name in ("arch", *OVERRIDABLE)}, codecs, schemes, tokenizer)


def test_a_script_that_only_scores_carries_nothing_that_trains():
    serving, whole = serving_of(), bundle_of("size=tiny")
    assert {"pgolf.eval.serve", "pgolf.compressor.range", "pgolf.quant.schemes.grid"} <= set(serving.sources)
    trains = ("train", "optimizer", "loader", "data", "run", "hook", "qat", "schedule")
    assert not [name for name in serving.sources if name.split(".")[1:2] and name.split(".")[1] in trains]
    assert len(serving.script) < 0.7 * len(whole.script)


TWINS = """
import json, sys
names = {"__name__": "served", "__file__": sys.argv[1]}
exec(compile(open(sys.argv[1], "rb").read(), sys.argv[1], "exec"), names)
from pgolf import one, two, three
print(json.dumps([[m.f.__code__.co_filename, m.f.__code__.co_firstlineno, m.f()] for m in (one, two, three)]))
"""


def test_functions_that_numba_compiles_are_told_apart_by_their_lines_in_the_script(tmp_path):
    """It takes functions of one file, name, line and bytecode for the same, whatever their constants."""
    sources = {f"pgolf.{name}": f"compiled=0\ndef f():return {value}\n" for name, value in (("one", 1), ("two", 2))}
    path = tmp_path / "train_gpt.py"
    path.write_bytes(script_of({**sources, "pgolf.three": "def f():return 3\n"}, {}))
    done = subprocess.run([sys.executable, "-I", "-c", TWINS, path], capture_output=True, text=True)
    one, two, three = json.loads(done.stdout)
    assert (one[2], two[2], three[2]) == (1, 2, 3)
    assert one[0] == two[0] == str(path) and one[1] != two[1]
    assert three[:2] == ["pgolf.three", 1]


def test_every_script_can_serve():
    assert "pgolf.eval.serve" in bundle_of("size=tiny", "data=tiny").sources


@pytest.mark.parametrize("words", WORDS, ids=lambda words: "+".join(words) or "default")
def test_every_name_of_a_bundle_is_in_it(words):
    check_names(bundle_of("size=tiny", *words).sources)
    check_keywords(bundle_of("size=tiny", *words).sources)


@pytest.mark.parametrize("words", [(), ("arch=pr1855",), ("arch=mamba_hybrid",)], ids=str)
def test_every_name_of_a_script_that_only_scores_is_in_it(words):
    check_names(serving_of(*words).sources)


def check_names(sources):
    trees = {name: ast.parse(source) for name, source in sources.items()}
    tops = {name: top_names(tree) for name, tree in trees.items()}
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("pgolf"):
                for alias in node.names:
                    inside = alias.name in tops.get(node.module, ())
                    assert inside or f"{node.module}.{alias.name}" in sources, (name, node.module, alias.name)
        assert not free_names(tree) - tops[name] - set(dir(builtins)) - {"__class__"}, name


def check_keywords(sources):
    """What a call says by keyword is a parameter of one of the functions or classes of that name, where there are."""
    nodes = [node for source in sources.values() for node in ast.walk(ast.parse(source))]
    functions = [(n.name, n) for n in nodes if isinstance(n, ast.FunctionDef)]
    classes = [n for n in nodes if isinstance(n, ast.ClassDef)]
    made = [(c.name, n) for c in classes for n in c.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    plain = {c.name for c in classes} - {name for name, _ in made}  # of those a base or a decorator makes it
    known = {}
    for name, function in functions + made:
        arguments = function.args
        open_ended = {"**"} if arguments.kwarg else set()
        known.setdefault(name, set()).update({a.arg for a in (*arguments.args, *arguments.kwonlyargs)} | open_ended)
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known.keys() - plain:
            if len(node.func.id) <= 2:  # private to a module, and shortened there
                continue
            said = {keyword.arg for keyword in node.keywords if keyword.arg}
            assert "**" in known[node.func.id] or said <= known[node.func.id], ast.unparse(node)


def top_names(tree):
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        else:
            found |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return found


def free_names(tree):
    """Names that are read somewhere and bound nowhere, in no scope."""
    nodes = list(ast.walk(tree))
    bound = {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    bound |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    bound |= {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler)}
    for n in nodes:
        if isinstance(n, ast.Import | ast.ImportFrom):
            bound |= {(alias.asname or alias.name).split(".")[0] for alias in n.names}
    return {n.id for n in nodes if isinstance(n, ast.Name)} - bound


def test_requirements_name_the_installed_versions():
    lines = requirements({"m": "import numpy as np\nimport torch.nn\nimport json\nfrom pgolf.x import y"})
    assert [line.partition("==")[0] for line in lines] == ["numpy", "torch"]
    assert all("+" not in line and line.partition("==")[2] for line in lines)
    assert requirements({"m": "import_module('no_such_package_here')"}) == ["no_such_package_here"]


def test_runs_that_cannot_be_bundled_are_refused(finished, tmp_path):
    run, result, out = finished
    with pytest.raises(RunError, match="not empty"):
        bundle_run(run, out)
    with pytest.raises(RunError, match="no result here"):
        bundle_run(tmp_path, tmp_path / "out")
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "result.json").write_text(json.dumps({**result, "artifact": None, "status": "failed"}))
    with pytest.raises(RunError, match="before there was an artifact"):
        bundle_run(copy, tmp_path / "out")
    (copy / "result.json").write_text(json.dumps({**result, "artifact": {**result["artifact"], "sha256": "0" * 64}}))
    (copy / "artifact.pgolf").write_bytes((run / "artifact.pgolf").read_bytes())
    with pytest.raises(RunError, match="SHA-256 differs"):
        bundle_run(copy, tmp_path / "out")
    (copy / "artifact.pgolf").write_bytes(b"")
    with pytest.raises(ArtifactError):
        bundle_run(copy, tmp_path / "out")
