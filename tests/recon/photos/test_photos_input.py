"""What is a photograph, what its file says, what is left out, which pairs are matched, which frames of a video are picked."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from recon.data.listing import FrameProblem
from recon.errors import DataError
from recon.photos import leave_out
from recon.photos.cameras import groups_of, job_groups
from recon.photos.decode import prepare, prepare_all, upright
from recon.photos.exif import read_tag
from recon.photos.gather import gather
from recon.photos.input import check_found
from recon.photos.pairs import choose_pairs, shared
from recon.photos.video import Look, pick
from tests.recon.photos.made_up import photo, photos
from tests.recon.photos.studio import blur, printed, save

SHEET = printed((0, 0), 1.0, 0.0).pixels[:600:2, :800:2]


def exif(**tags) -> Image.Exif:
    numbers = {"make": 0x010F, "model": 0x0110, "orientation": 0x0112}
    more = {"focal": 0x920A, "focal35": 0xA405, "zoom": 0xA404, "width": 0xA002, "height": 0xA003, "density": 0xA20E, "unit": 0xA210}
    out = Image.Exif()
    for name, value in tags.items():
        if name in numbers:
            out[numbers[name]] = value
        else:
            out.get_ifd(0x8769)[more[name]] = value
    return out


@pytest.mark.parametrize(
    ("tags", "size", "focal", "whole"),
    [
        ({"focal35": 35}, (2832, 2128), 35 / 43.2666 * 3542.4, True),
        ({"focal35": 50}, (4000, 6000), 50 / 43.2666 * 7211.1, True),
        ({"focal35": 46}, (4000, 4000), 46 / 43.2666 * 5656.9, False),  # cut to a square
        ({"focal35": 50, "width": 6000, "height": 4000}, (3000, 2000), 50 / 43.2666 * 3605.6, False),
        ({"focal": 50.0, "density": 4000.0, "unit": 3}, (6000, 4000), 50 * 400.0, True),
        ({"focal": 8.0}, (4000, 3000), None, True),
        ({"focal35": 0}, (4000, 3000), None, True),
        ({}, (4000, 3000), None, True),
    ],
)
def test_focal_length_of_a_file(tags, size, focal, whole):
    tag = read_tag(exif(**tags), *size)
    assert tag.focal_px == (None if focal is None else pytest.approx(focal, rel=1e-4))
    assert tag.whole is whole


def test_a_camera_is_its_words_and_its_size():
    members = [*photos(3, camera="X 5 mm"), photo("a.jpg", camera="X 9 mm"), photo("b.jpg", camera="X 5 mm", width=1500, height=2000)]
    found = groups_of(members)
    assert [len(g.photos) for g in found] == [3, 1, 1]


@pytest.mark.parametrize(("trusted", "params"), [(True, [1100.0, 500.0, 375.0, 0.0]), (False, None)])
def test_what_a_file_says_is_where_the_search_starts(trusted, params):
    (row,) = job_groups(groups_of(photos(3, focal_px=2200.0, focal_trusted=trusted)), 1000)
    assert row["params"] == params
    assert row["factor"] == pytest.approx(1.1)


def test_photographs_are_turned_once(tmp_path):
    tall = np.ascontiguousarray(SHEET[:, :200])
    for orientation in range(1, 9):
        stored = Image.fromarray(tall)
        save(np.asarray(stored), tmp_path / f"{orientation}.png", exif=exif(orientation=orientation))
        picture, tag, size = upright(tmp_path / f"{orientation}.png")
        assert tag.orientation == orientation
        assert picture.size == size == ((200, 300) if orientation < 5 else (300, 200))
    turned = np.asarray(upright(tmp_path / "6.png")[0])
    np.testing.assert_array_equal(turned, np.rot90(tall, -1))


def test_small_copies_and_what_is_kept_of_them(tmp_path):
    save(SHEET, tmp_path / "a.jpg", quality=95)
    done = []
    photos_, bad = prepare_all([(tmp_path / "a.jpg", "a.jpg", None)], tmp_path / "w", 100, lambda d, n: done.append((d, n)))
    assert not bad
    assert done == [(1, 1)]
    copy = tmp_path / "w" / "100" / photos_[0].work
    with Image.open(copy) as small:
        assert small.size == (100, 75)
    assert (photos_[0].width, photos_[0].height) == (400, 300)
    before = copy.stat().st_mtime_ns
    again, _ = prepare_all([(tmp_path / "a.jpg", "a.jpg", None)], tmp_path / "w", 100, lambda d, n: None)
    assert again == photos_
    assert copy.stat().st_mtime_ns == before
    save(SHEET[::-1], tmp_path / "a.jpg", quality=90)
    changed, _ = prepare_all([(tmp_path / "a.jpg", "a.jpg", None)], tmp_path / "w", 100, lambda d, n: None)
    assert changed[0].work != photos_[0].work


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "empty"), (b"no picture at all", "unreadable"), ("cut", "unreadable"), ("tiny", "too small")]
)
def test_files_that_cannot_be_used(content, words, tmp_path):
    path = tmp_path / "x.jpg"
    if content == "tiny":
        save(SHEET[:20, :20], path)
    elif content == "cut":
        save(SHEET, path)
        path.write_bytes(path.read_bytes()[:3000])
    else:
        path.write_bytes(content)
    with pytest.raises(FrameProblem, match=words):
        prepare(path, "x.jpg", tmp_path, 500)


def test_copies_and_blur_are_left_out_and_neighbours_are_not(tmp_path):
    for k in range(12):
        save(SHEET[3 * k : 3 * k + 240, 5 * k : 5 * k + 320], tmp_path / f"{k:02d}.jpg", quality=92)
    save(blur(SHEET[15:255, 25:345], 3.0), tmp_path / "05.jpg", quality=92)
    (tmp_path / "20.jpg").write_bytes((tmp_path / "02.jpg").read_bytes())
    save(SHEET[9:249, 15:335], tmp_path / "21.png")
    files = [(p, p.name, None) for p in gather(tmp_path).photographs]
    found, _ = prepare_all(files, tmp_path / ".w", 320, lambda d, n: None)
    assert leave_out.copies(found) == {"20.jpg": "the same file as 02.jpg", "21.png": "the same picture as 03.jpg"}
    assert list(leave_out.blurred(found)) == ["05.jpg"]


def test_what_is_no_photograph_is_set_aside(tmp_path):
    names = [
        "a10.jpg",
        "a9.JPG",
        "sub/c.png",
        "masks/a9.png",
        "images_4/a9.jpg",
        "depth/d.png",
        "a9.mask.png",
        "a9.jpg.png",
        ".b.jpg",
        "t.txt",
        "v.mov",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = gather(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in found.photographs] == ["a9.JPG", "a10.jpg", "sub/c.png"]
    assert [p.name for p in found.videos] == ["v.mov"]
    assert found.set_aside == ("a9.jpg.png", "a9.mask.png", "depth/", "images_4/", "masks/")


@pytest.mark.parametrize(("name", "words"), [("a.dng", "camera raw"), ("masks/a.png", "only masks"), ("a.txt", "no photographs")])
def test_folders_without_photographs_say_what_they_hold(name, words, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=words):
        check_found(tmp_path, gather(tmp_path))


def test_small_sets_are_matched_in_full():
    assert len(choose_pairs([str(i) for i in range(60)], lambda *_: np.zeros((0, 128)), 5, print)) == 60 * 59 // 2


def test_large_sets_are_matched_by_what_they_share():
    """Photograph i and i + 40 show the same place again: a walk around twice."""
    generator = np.random.default_rng(0)
    places = generator.normal(size=(40, 60, 128)).astype(np.float32)

    def largest(name: str, count: int) -> np.ndarray:
        mine = places[int(name) % 40] + generator.normal(0, 0.05, (60, 128)).astype(np.float32)
        return mine / np.linalg.norm(mine, axis=1, keepdims=True)

    pairs = set(choose_pairs([str(i) for i in range(80)], largest, 3, lambda d, n: None))
    assert all((i, i + 40) in pairs for i in range(40))
    assert all((i, i + step) in pairs for i in range(40) for step in (1, 2, 3, 4, 8))
    assert len(pairs) < 80 * 79 / 2 / 4


def test_shared_features_are_mutual_and_clear():
    eye = np.eye(128, dtype=np.float32)
    assert shared(eye[:50], eye[20:70]) == 30
    assert shared(np.concatenate([eye[:5], eye[:5]]), eye[:5]) == 5
    assert shared(eye[:5], np.concatenate([eye[:5], eye[:5]])) == 0
    assert shared(eye[:1], eye[:5]) == 0


def look(motion, sharpness=None) -> Look:
    n = len(motion)
    return Look(np.arange(n) / 30, np.asarray(motion, float), np.ones(n) if sharpness is None else np.asarray(sharpness, float), False)


def test_frames_are_spread_over_the_way_and_not_over_time():
    """The camera rests in the middle of the film."""
    motion = np.concatenate([np.full(200, 0.02), np.zeros(400), np.full(200, 0.02)])
    chosen = pick(look(motion), 40)
    assert len(chosen) == 40
    assert ((chosen < 205).sum(), (chosen > 595).sum()) == (20, 20)
    assert (np.diff(chosen) > 0).all()


def test_the_sharpest_frame_of_each_part_is_taken():
    sharp = np.ones(400)
    sharp[7::10] = 5.0
    chosen = pick(look(np.full(400, 0.01), sharp), 40)
    assert (chosen % 10 == 7).all()


@pytest.mark.parametrize("frames", [1, 2, 500])
def test_a_film_of_nothing_gives_three_frames_at_most(frames):
    assert len(pick(look(np.zeros(frames)), 80)) == min(3, frames)
