"""Document lists as FineWeb's: a ``text`` a line."""

import json
from collections.abc import Sequence
from pathlib import Path


def write_documents(path: Path, texts: Sequence[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path
