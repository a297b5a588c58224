"""Files appear whole or not at all, with the user's modes, and what a killed process left goes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from recon.system.files import append_line, drop_records, new_folder, part_of, remove_parts, whole, write_text_atomically


def contents(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_what_was_there_stays_until_the_new_file_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    write_text_atomically(path, "old")

    def fails():
        with whole(path) as part:
            part.write_text("new")
            assert path.read_text() == "old"
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fails()
    assert path.read_text() == "old"
    assert contents(tmp_path) == ["a.txt"]
    write_text_atomically(path, "new\n")
    assert path.read_bytes() == b"new\n"
    assert contents(tmp_path) == ["a.txt"]


def test_a_folder_that_fails_is_gone(tmp_path):

    def fails():
        with new_folder(tmp_path / "a" / "b"):
            (tmp_path / "a" / "b" / "c").write_text("")
            raise ValueError("after the first file")

    with pytest.raises(ValueError, match="after the first file"):
        fails()
    assert contents(tmp_path) == ["a"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_modes_are_those_of_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_text_atomically(tmp_path / "a", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


def test_leftovers_of_the_one_that_is_gone_are_removed(tmp_path):
    """And of nobody else, unless they are a day old; names that only look like it stay."""
    (tmp_path / "deep").mkdir()
    gone = [tmp_path / ".part-77-a.png", tmp_path / "deep" / ".part-77-b"]
    gone[0].write_text("")
    gone[1].mkdir()
    (gone[1] / "inside").write_text("")
    old, others, like = (tmp_path / name for name in (".part-78-old", ".part-78-new", ".part-77"))
    for path in (old, others, like):
        path.write_text("")
    os.utime(old, (0, 0))
    remove_parts(tmp_path, 77)
    assert contents(tmp_path) == [".part-77", ".part-78-new", "deep"]


def test_a_part_is_recognised(tmp_path):
    part = part_of(tmp_path / "mesh.glb")
    assert part.suffix == ".glb"
    part.write_text("")
    remove_parts(tmp_path, os.getpid())
    assert contents(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "after", "kept"),
    [
        ('{"step": 2}\n{"step": 4}\n{"step": 6}\n', 4, [2, 4]),
        ('{"step": 2}\n{"step": 4', 9, [2]),
        ('{"step": 2}\n{"ste{"step": 4}\n[1]\n5\n', 9, [2]),
        ("", 9, []),
    ],
)
def test_records_that_come_again_are_dropped(tmp_path, text, after, kept):
    path = tmp_path / "m.jsonl"
    path.write_text(text)
    drop_records(path, after)
    append_line(path, '{"step": 10}')
    assert path.read_text() == "".join(f'{{"step": {k}}}\n' for k in [*kept, 10])
