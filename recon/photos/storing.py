"""Files that appear whole or not at all. Nothing here imports torch: the child that searches for cameras must start at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary name beside the file, flush, rename."""
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    with open(temporary, "wb") as f:
        f.write(content)
        f.flush()
        os.fsync(f.fileno())
    os.replace(temporary, path)


def write_json(path: Path, value: Any) -> None:
    """Plain values as JSON, atomically."""
    write_bytes_atomically(path, json.dumps(value, indent=1, ensure_ascii=False).encode())


def read_json(path: Path) -> Any | None:
    """The values of a file that :func:`write_json` wrote, or None if there is none that can be read (it is then made again)."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
