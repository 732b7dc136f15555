"""The command, the revision, the machine and the whole config."""

from __future__ import annotations

from collections.abc import Iterator

from pgolf.core.errors import RunError
from pgolf.report.gather import CONFIG_NAME
from pgolf.report.html.parts import Folded, Pairs, Part, Section
from pgolf.report.html.subject import RunPage

PLACE = 90
_MOST_BYTES = 100_000


def section(page: RunPage) -> Section | None:
    parts = tuple(_parts(page))
    return Section("How it was made", parts) if parts else None


def _parts(page: RunPage) -> Iterator[Part]:
    rows: list[tuple[str, str]] = []
    if page.result is not None:
        fields = page.fields
        for label, key in (("command", "run.command"), ("config hash", "run.config_hash")):
            rows.append((label, fields.text(key)))
        sha = fields.at("run.git_sha")
        if isinstance(sha, str):
            rows.append(("revision", sha + (", with changes" if fields.at("run.dirty") is True else "")))
        if fields.mapping("train") is not None:
            rows.append(("training ended by", str(fields.text("train.stopped_by"))))
            exported = (fields.mapping("train") or {}).get("exported")
            rows += [("weights", exported)] if isinstance(exported, str) and exported else []
    if page.config is not None:
        machine = page.config.get("machine")
        if isinstance(machine, dict):
            rows += [(str(key), str(value)) for key, value in machine.items() if not isinstance(value, dict | list)]
        for key in ("sweep", "hypothesis", "parent_run", "notes"):
            value = page.config.get(key)
            rows += [(key.replace("_", " "), value)] if isinstance(value, str) and value else []
    if rows:
        yield Pairs(tuple(rows))
    try:
        text = _config_text(page)
    except RunError:
        return
    yield Folded(CONFIG_NAME, (), text)


def _config_text(page: RunPage) -> str:
    path = page.folder / CONFIG_NAME
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or error}") from error
    cut = "" if len(raw) <= _MOST_BYTES else f"\n… {len(raw) - _MOST_BYTES:,} bytes more"
    return raw[:_MOST_BYTES].decode(errors="surrogateescape") + cut
