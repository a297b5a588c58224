"""Small facts kept as JSON. Nothing here imports torch: the child that searches for cameras must start at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recon.system.files import write_text_atomically


def write_json(path: Path, value: Any) -> None:
    """Plain values as JSON, whole or not at all."""
    write_text_atomically(path, json.dumps(value, indent=1, ensure_ascii=False))


def read_json(path: Path) -> Any | None:
    """The values of a file that :func:`write_json` wrote, or None if there is none that can be read (it is then made again)."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
