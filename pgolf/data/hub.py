"""Files of a data set repository on the Hugging Face hub, or on the server that HF_ENDPOINT names.

The cache is keyed by repository (the hub library's own layout), so that a manifest of one repository can
never hide the variants of another.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.core.errors import DataError
from pgolf.core.json_text import read_json


@dataclass(frozen=True, slots=True)
class Hub:
    """``root`` is the folder of the repository that holds ``manifest.json``."""

    repo_id: str
    revision: str
    root: str
    cache_dir: Path

    def fetch(self, path: str) -> Path:
        """The local copy of ``root/path``, downloaded if need be. Raises DataError naming repository and file."""
        huggingface_hub = _library()
        huggingface_hub.utils.disable_progress_bars()
        filename = self._filename(path)
        endpoint = os.environ.get("HF_ENDPOINT") or None
        try:
            found = huggingface_hub.hf_hub_download(
                self.repo_id,
                filename,
                repo_type="dataset",
                revision=self.revision,
                cache_dir=self._cache,
                endpoint=endpoint,
            )
        except Exception as error:  # the library raises its own, httpx's and the system's errors
            if isinstance(error, (AssertionError, AttributeError, NameError, TypeError)):
                raise
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            server = endpoint or "huggingface.co"
            raise DataError(f"{filename} of {self.repo_id} cannot be fetched from {server}: {reason}") from error
        return Path(found)

    def cached(self, path: str) -> Path | None:
        """The local copy of ``root/path`` where it has been fetched before; asks nobody."""
        found = _library().try_to_load_from_cache(
            self.repo_id,
            self._filename(path),
            cache_dir=self._cache,
            revision=self.revision,
            repo_type="dataset",
        )
        return Path(found) if isinstance(found, str) else None

    @property
    def _cache(self) -> Path:
        return Path(self.cache_dir) / "hub"

    def _filename(self, path: str) -> str:
        return "/".join(part for part in (self.root, path) if part)

    def fetch_json(self, path: str) -> dict[str, Any]:
        local = self.fetch(path)
        try:
            content = read_json(local, DataError)
        except DataError as error:
            again = f"to have it fetched anew: rm {shlex.quote(str(local.resolve()))}"
            raise DataError(f"{error}; {again}") from error
        if not isinstance(content, dict):
            raise DataError(f"{local}: not a JSON object")
        return content


def _library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.utils
    except ImportError as error:
        raise DataError("published data needs the extra `data`: pip install 'pgolf[data]'") from error
    return huggingface_hub
