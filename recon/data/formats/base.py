"""What a format module is: it says which files it owns, and turns them into a listing. The table of all is
:mod:`recon.data.formats.table`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from recon.data.listing import Findings, Listing


@dataclass(frozen=True)
class Claim:
    """A dataset that a format recognises.

    Attributes:
        root: The dataset's folder; names of pictures are relative to it.
        source: The file, or folder of files, that holds the cameras.
    """

    root: Path
    source: Path


class Format(Protocol):
    """A module of :mod:`recon.data.formats`."""

    @property
    def FORMAT(self) -> str:
        """Short name, kept in runs: "colmap"."""
        ...

    @property
    def FILES(self) -> str:
        """The files looked for and whose they are, for messages: "transforms.json (nerfstudio)"."""
        ...

    def owns(self, path: Path) -> Claim | None:
        """Whether a dataset's folder, or a camera file, is of this format. Looks at names, and no further than a file's first lines."""
        ...

    def read(self, claim: Claim, findings: Findings) -> Listing:
        """List what was claimed: convert axes and pixel centres, and nothing else. What is wrong goes to ``findings``."""
        ...
