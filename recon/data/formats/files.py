"""The files of a dataset's folder, found by the names that its camera file gives them, and text files read within a bound."""

from __future__ import annotations

import posixpath
import unicodedata
from pathlib import Path
from typing import Any

from recon.data.listing import IMAGE_SUFFIXES, Findings, FrameProblem, natural_key

LARGEST_TEXT = 512 * 2**20
"""No camera file is larger, bytes: 10,000 COLMAP images with 20,000 features each take 2 GB as text, but their tracks are not needed."""
IMAGE_FOLDERS = ("images", "image", "rgb", "color", "input", "")
REDUCED = ("images_2", "images_4", "images_8")


class Files:
    """Finds files below a folder without ever leaving it.

    Names are compared as they are; failing that without regard to letter case and Unicode normalisation, folder by folder. A name without
    an image suffix gets the first one that exists. Of an absolute path, written on another machine, the longest tail that exists here is
    taken. Paths are checked as written, so a folder of images that the user has linked from elsewhere works.

    Attributes:
        root: The dataset's folder.
        by_tail: How many files were found by the tail of an absolute path.
    """

    def __init__(self, root: Path):
        self.root = root
        self.by_tail = 0
        self._names: dict[Path, dict[str, str]] = {}

    def locate(self, raw: Any, key: str, default_suffix: str = ".png") -> tuple[str, Path]:
        """Find the file that a dataset names.

        Returns:
            The name relative to ``root`` with forward slashes, and the path, which need not exist.
        Raises:
            FrameProblem: The name is no string, is empty, or points outside ``root``; the text does not repeat it.
        """
        if not isinstance(raw, str) or not raw.strip() or "\0" in raw:
            raise FrameProblem(f'"{key}" must name an image file, found {raw!r}')
        text = raw.replace("\\", "/")
        if posixpath.isabs(text) or (len(text) > 1 and text[1] == ":"):
            base = posixpath.normpath(self.root.as_posix()) + "/"
            inside = posixpath.normpath(text).startswith(base)
            found = None if inside else self._tail(text)
            if found is not None:
                self.by_tail += 1
                return found, self.root / found
            if not inside:
                raise FrameProblem(
                    f'"{key}" is an absolute path outside the dataset, and no file here has its tail: '
                    "write it relative to the dataset's folder"
                )
            text = posixpath.normpath(text)[len(base) :]
        name = posixpath.normpath(text)
        if name in (".", "..") or name.startswith("../"):
            raise FrameProblem(f'"{key}" leaves the dataset\'s folder: move the image inside it')
        found = self.find(name)
        if found is not None:
            return found, self.root / found
        missing = name if name.lower().endswith(IMAGE_SUFFIXES) else name + default_suffix
        return missing, self.root / missing

    def find(self, name: str) -> str | None:
        """The name of an existing file that a normalised relative name stands for."""
        candidates = [name] if name.lower().endswith(IMAGE_SUFFIXES) else [name, *(name + suffix for suffix in IMAGE_SUFFIXES)]
        exact = next((c for c in candidates if is_file(self.root / c)), None)
        return exact or next((found for c in candidates if (found := self._folded(c)) is not None), None)

    def pictures_in(self, folder: str) -> list[str]:
        """Names, relative to the root, of the pictures that lie in one of its folders, in natural order."""
        here = self.root / folder
        if not here.is_dir():
            return []
        names = [e.name for e in here.iterdir() if e.suffix.lower() in IMAGE_SUFFIXES and not e.name.startswith(".") and e.is_file()]
        return [posixpath.join(folder, name) for name in sorted(names, key=natural_key)]

    def image_folder(self, names: list[str], folders: tuple[str, ...] = (*IMAGE_FOLDERS, *REDUCED)) -> str:
        """The folder in which most of the named pictures lie; the first that exists where none does."""
        counted = [(sum(self.find(posixpath.join(f, n)) is not None for n in names), f) for f in folders if (self.root / f).is_dir()]
        return max(counted, key=lambda pair: pair[0])[1]

    def _folded(self, name: str) -> str | None:
        at, found = self.root, []
        for part in name.split("/"):
            if at not in self._names:
                try:
                    entries = sorted(entry.name for entry in at.iterdir())
                except (OSError, ValueError):
                    entries = []
                self._names[at] = {_fold(entry): entry for entry in reversed(entries)}
            actual = self._names[at].get(_fold(part))
            if actual is None:
                return None
            at, found = at / actual, [*found, actual]
        return "/".join(found) if is_file(at) else None

    def _tail(self, absolute: str) -> str | None:
        parts = [part for part in posixpath.normpath(absolute).split("/") if part and not part.endswith(":")]
        if ".." in parts:
            return None
        tails = ("/".join(parts[-count:]) for count in range(min(len(parts), 8), 0, -1))
        return next((found for tail in tails if (found := self.find(tail)) is not None), None)

    def remark(self, findings: Findings) -> None:
        """Say once what was done to names."""
        if self.by_tail:
            findings.notes.append(f"{self.by_tail} files were given by absolute paths of another machine, and found here by their tails")


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def is_file(path: Path) -> bool:
    """Like ``Path.is_file``, but False for names that the file system rejects."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def first_line(file: Path) -> str:
    """The first line of a text file that is no comment and not empty, of its first 4096 bytes; "" if there is none."""
    try:
        with open(file, "rb") as f:
            lines = decoded(f.read(4096), strict=False).splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")), "")


def read_text(file: Path, findings: Findings) -> str | None:
    """A whole text file (UTF-8, or UTF-16 with its mark); what is wrong goes to ``findings.fatal`` and gives None."""
    try:
        if file.stat().st_size > LARGEST_TEXT:
            findings.fatal.append(f"{file.name}: is larger than {LARGEST_TEXT // 2**20} MiB, which no camera file is")
            return None
        return decoded(file.read_bytes())
    except OSError as error:
        findings.fatal.append(f"{file.name}: cannot be read ({error.strerror or error})")
    except UnicodeDecodeError as error:
        findings.fatal.append(f"{file.name}: is not text (byte {error.start} is not {error.encoding.upper()[:6].rstrip('-')})")
    return None


def decoded(data: bytes, strict: bool = True) -> str:
    """Text of a file's bytes.

    Raises:
        UnicodeDecodeError: Only if ``strict``.
    """
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return data.decode(encoding, "strict" if strict else "replace")
