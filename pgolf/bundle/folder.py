"""``pgolf bundle RUN OUT/``: a finished run as a folder that can be handed in: script, artifact, requirements."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pgolf.artifact import container
from pgolf.artifact.ledger import CODE_LABEL
from pgolf.bundle.script import SCRIPT_NAME, Bundle, make_bundle, opened, packages, script_of
from pgolf.config.compose import read_config
from pgolf.core.atomic import write_bytes_atomic, write_text_atomic
from pgolf.core.errors import ConfigError, RunError
from pgolf.track.result import read_result

ARTIFACT_NAME = "artifact.pgolf"


def bundle_run(run: Path, out: Path, *, ascii: bool = False) -> list[str]:
    """Write ``out`` from the run folder ``run``; returns lines for the user.

    The script is the one whose bytes the run counted; a run of an older pgolf, which kept none, gets one made
    from its config and today's sources. ``ascii`` writes the same modules in the longer form that is plain ASCII and
    says what that weighs; run again, it packs to a size that leaves room for itself, so to another artifact.

    Raises RunError for a run without an artifact, for an artifact that is not the one of the result, and for a folder
    that is not empty; ConfigError, ArtifactError where there is no file to read.
    """
    result = read_result(run)
    if result["artifact"] is None:
        raise RunError(f"{run}: it ended as {result['status']!r}, before there was an artifact to ship")
    artifact = container.contents(run / ARTIFACT_NAME)
    if hashlib.sha256(artifact).hexdigest() != result["artifact"]["sha256"]:
        raise RunError(f"{run / ARTIFACT_NAME}: not the artifact of its result.json; its SHA-256 differs")
    kept = run / SCRIPT_NAME
    lines = []
    if kept.is_file():
        bundle = _opened(kept)
    else:
        bundle = make_bundle(read_config(run / "config.yaml"))
        lines.append(f"{run}: kept no script; made from today's sources, so its bytes are not those it counted")
    script = script_of(bundle.sources, bundle.config, ascii=True) if ascii else bundle.script
    require_empty(out)
    write_bytes_atomic(out / SCRIPT_NAME, script)
    write_bytes_atomic(out / ARTIFACT_NAME, artifact)
    write_text_atomic(out / "requirements.txt", "".join(f"{line}\n" for line in requirements(bundle.sources)))
    write_text_atomic(out / "README.md", readme(result, bundle.config, len(script)))
    counted = result["artifact"]["bytes_code"]
    if counted != len(script):
        label = result["artifact"]["code_label"]
        lines.append(f"code: the run counted {counted:,} bytes ({label}), the script has {len(script):,}")
    over = total_bytes(result["artifact"], len(script)) - result["artifact"]["cap_bytes"]
    if over > 0:
        lines.append(f"total: {over:,} bytes over the cap of {result['artifact']['cap_bytes']:,}")
    for name in (SCRIPT_NAME, ARTIFACT_NAME, "requirements.txt", "README.md"):
        lines.append(f"{(out / name).stat().st_size:>11,}  {out / name}")
    return lines


def _opened(path: Path) -> Bundle:
    try:
        return opened(path.read_bytes())
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ConfigError as error:
        raise RunError(f"{path}: {error}") from error


def requirements(sources: Mapping[str, str]) -> list[str]:
    """One line a package that the script imports, at the version installed here, sorted."""
    owners = metadata.packages_distributions()
    names = [owners.get(package, [package])[0] for package in packages(sources)]
    return sorted((f"{name}{_version(name)}" for name in names), key=str.lower)


def total_bytes(artifact: Mapping[str, Any], script_bytes: int) -> int:
    """What counts against the cap, of a result's ``artifact`` with a script of ``script_bytes``."""
    tokenizer = artifact["bytes_tokenizer"] if artifact["counts_tokenizer"] else 0
    return script_bytes + artifact["bytes_weights"] + artifact.get("bytes_packed", 0) + tokenizer


def _version(name: str) -> str:
    try:
        return "==" + metadata.version(name).partition("+")[0]  # a build's own mark is on no index
    except metadata.PackageNotFoundError:  # one that only other machines have, such as attention kernels
        return ""


def readme(result: Mapping[str, Any], config: Mapping[str, Any], script_bytes: int) -> str:
    """What the folder is, how to run it, and what the run measured."""
    run, artifact, final = result["run"], result["artifact"], result["scores"]["final"]
    data = " --data DIR" if config["data"] is None else ""
    commands = [f"python {SCRIPT_NAME}{data} --seed {run['seed']}", f"python {SCRIPT_NAME} {ARTIFACT_NAME}{data}"]
    width = max(map(len, commands))
    total = total_bytes(artifact, script_bytes)
    counted = "" if artifact["counts_tokenizer"] else ", not counted"
    packed = f"\n| packed counts | {artifact['bytes_packed']:,} bytes |" if artifact.get("bytes_packed") else ""
    source = (
        "Token shards are read from DIR, as `pgolf data prepare` or `pgolf data fetch` leaves them."
        if config["data"] is None
        else "The text is prepared under `.cache`; `--data DIR` reads token shards prepared elsewhere."
    )
    return f"""# {run["name"]}, seed {run["seed"]}

```
pip install -r requirements.txt
{commands[0]:{width}}   trains, packs and scores
{commands[1]:{width}}   scores this artifact on validation
```

{source} Python 3.10 or later. `{SCRIPT_NAME}` holds the modules that the
run uses and its composed config, compressed; it needs nothing of pgolf installed.

| | |
|---|---|
{_rows(_scores(final, result["status"]))}
| weights | {artifact["bytes_weights"]:,} bytes |{packed}
| code ({CODE_LABEL}) | {script_bytes:,} bytes |
| tokenizer{counted} | {artifact["bytes_tokenizer"]:,} bytes |
| total | {total:,} of {artifact["cap_bytes"]:,} bytes |
| SHA-256 of {ARTIFACT_NAME} | `{artifact["sha256"]}` |
"""


def _scores(final: Mapping[str, Any] | None, status: str) -> list[tuple[str, str]]:
    rows = [("run", status.replace("_", " "))]
    if final:
        subset = ", a declared subset: not a result" if final["subset"] else ""
        certified = "certified" if final["valid"] else "not certified"
        rows.append(("val_bpb", f"{final['val_bpb']} ({final['metric']} bytes, {certified}{subset})"))
        rows.append(("val_loss", f"{final['val_loss']} nats per token"))
    return rows


def _rows(pairs: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in pairs)


def require_empty(out: Path) -> None:
    """Make it where it is not there. Raises RunError for a folder that holds something, or cannot be used."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise RunError(f"{out}: is not empty; name a new folder")
    except OSError as error:
        raise RunError(f"{out}: cannot be used: {error.strerror or error}") from error
