"""From rendered photographs and a rendered film to a dataset, against the cameras that they were rendered with; refusals; interruptions."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from recon.config.values import DataConfig
from recon.console import Reporter
from recon.errors import CapabilityError, DataError, Interrupted, UsageError
from recon.geometry import Similarity
from recon.opening import lacks_cameras, with_cameras
from recon.photos import search
from recon.photos.options import USUAL, PhotoOptions
from recon.photos.process import process
from tests.recon.photos.studio import around, photograph, printed, save, with_marker

needs = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("pycolmap", "cv2", "av")), reason="the extra [photos] is not installed"
)
SIZE, SIDE = (480, 360), 40.0
CAMERAS = around((0, 0, 0), 320.0, (35, 55, 75), 9, *SIZE, 40.0, turn_deg=200)
QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def studio(tmp_path_factory) -> Path:
    """Nine photographs of a sheet of printed paper 240 mm wide with a marker of 40 mm."""
    folder = tmp_path_factory.mktemp("studio")
    paper = with_marker(printed((0, 0), 240.0, 0.0), 7, (-20.0, 20.0), SIDE)
    for k, camera in enumerate(CAMERAS):
        save(photograph(paper, camera, samples=2), folder / "in" / f"IMG_{k:02d}.jpg", quality=95)
    return folder


@pytest.fixture(scope="module")
def done(studio: Path) -> tuple[Path, dict]:
    return studio / "out", process(studio / "in", studio / "out", PhotoOptions(marker=f"aruco_4x4_50:{SIDE:g}mm"), QUIET)


def poses(out: Path) -> tuple[list[str], np.ndarray]:
    frames = json.loads((out / "transforms.json").read_text())["frames"]
    matrices = np.array([frame["transform_matrix"] for frame in frames])[:, :3].copy()
    matrices[:, :, 1:3] *= -1
    return [Path(frame["file_path"]).stem for frame in frames], matrices


def fitted(source: np.ndarray, target: np.ndarray) -> Similarity:
    """The similarity that takes points nearest to others. Source: Umeyama 1991."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ sign @ vt
    scale = float((s * np.diag(sign)).sum() / (a**2).sum())
    return Similarity(scale, rotation, target.mean(axis=0) - scale * rotation @ source.mean(axis=0))


@needs
def test_cameras_up_and_scale_against_those_it_was_rendered_with(done):
    out, report = done
    assert report["photographs"] == {"given": 9, "used": 9}
    assert report["left_out"] == {}
    names, found = poses(out)
    truth = np.stack([CAMERAS[int(name[-2:])].world_from_camera for name in names])
    true_from_found = fitted(found[:, :, 3], truth[:, :, 3])
    extent = np.linalg.norm(np.ptp(truth[:, :, 3], axis=0))
    misses = np.linalg.norm(true_from_found.apply(found[:, :, 3]) - truth[:, :, 3], axis=1) / extent
    assert np.median(misses) < 0.002
    assert misses.max() < 0.006
    turned = np.einsum("ij,njk,nlk->nil", true_from_found.rotation, found[:, :, :3], truth[:, :, :3])
    angles = np.degrees(np.arccos(np.clip((np.trace(turned, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert angles.max() < 0.5
    assert true_from_found.scale == pytest.approx(1.0, abs=0.01)  # millimetres, by the marker
    assert np.degrees(np.arccos(true_from_found.rotation[2, 2])) < 0.5  # up is the paper's normal
    assert report["scale"]["unit"] == "mm"
    written = json.loads((out / "transforms.json").read_text())
    assert written["fl_x"] == pytest.approx(CAMERAS[0].fx, rel=0.02)
    assert written["unit"] == "mm"


@needs
def test_the_dataset_is_whole_and_loads(done):
    from recon.data.load import load_scene

    out, _ = done
    for name in ("points.ply", "names.json", "report.json", "cameras.png", "sparse/0/images.txt", "images/IMG_00.jpg"):
        assert (out / name).stat().st_size > 0
    scene = load_scene(out, max_size=60)
    assert len(scene.views) == 9
    assert not scene.warnings


@needs
def test_a_second_time_nothing_is_searched_again(done, studio: Path, monkeypatch):
    out, _ = done
    before = poses(out)[1]
    monkeypatch.setattr("recon.photos.tries.run_child", lambda *_: pytest.fail("it searched again"))
    report = process(studio / "in", out, PhotoOptions(distance=("IMG_00", "IMG_08", "1m")), QUIET)
    names, after = poses(out)
    assert np.linalg.norm(after[names.index("IMG_00"), :, 3] - after[names.index("IMG_08"), :, 3]) == pytest.approx(1.0)
    assert report["scale"]["unit"] == "m"
    np.testing.assert_allclose(after[:, :, :3], before[:, :, :3], atol=1e-9)


@needs
def test_the_same_seed_gives_the_same_cameras(done, studio: Path):
    process(studio / "in", studio / "again", PhotoOptions(marker=f"aruco_4x4_50:{SIDE:g}mm"), QUIET)
    process(studio / "in", studio / "out", PhotoOptions(marker=f"aruco_4x4_50:{SIDE:g}mm"), QUIET)
    np.testing.assert_allclose(poses(studio / "again")[1], poses(studio / "out")[1], atol=1e-6)


@needs
def test_photographs_are_taken_where_a_dataset_is_expected(done, studio: Path, monkeypatch):
    out, _ = done
    assert lacks_cameras(studio / "in")
    assert not lacks_cameras(out)
    assert with_cameras(str(out), USUAL, DataConfig(), studio / "runs", QUIET) == str(out)
    with pytest.raises(UsageError, match="has cameras"):
        with_cameras(str(out), PhotoOptions(frames=30), DataConfig(), studio / "runs", QUIET)
    seen = []
    monkeypatch.setattr("recon.photos.process.process", lambda source, folder, *_, **__: seen.append((source, folder)) or dict(REPORT))
    folder = with_cameras(str(studio / "in"), USUAL, DataConfig(), studio / "runs", QUIET)
    assert seen == [((studio / "in").resolve(), Path(folder))]
    assert Path(folder).parent == (studio / "runs" / "datasets").resolve()


REPORT = {
    "photographs": {"used": 3, "given": 3},
    "points": 5,
    "track_length": 3.0,
    "reprojection_px": 0.4,
    "copies_px": 1000,
    "region": {"radius": 1.0, "how": "points"},
    "up": {"how": "cameras"},
    "scale": {"how": "unknown", "unit": None},
    "left_out": {},
    "seconds": 1.0,
}


@needs
def test_noise_is_refused_and_what_was_seen_is_kept(tmp_path: Path):
    generator = np.random.default_rng(0)
    for k in range(4):
        save(generator.integers(0, 255, (120, 160, 3), np.uint8), tmp_path / "in" / f"{k}.png")
    with pytest.raises(DataError, match="0 of 6 pairs match") as refused:
        process(tmp_path / "in", tmp_path / "out", USUAL, QUIET)
    assert refused.value.exit_code == 3
    assert "overlap" in str(refused.value) or "two thirds" in str(refused.value)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["state"] == "refused"
    assert len(report["left_out"]) == 4
    assert not (tmp_path / "out" / "transforms.json").exists()


@pytest.mark.parametrize("case", ["one", "copies", "empty files"])
def test_what_cannot_be_enough_is_refused_at_once(case: str, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("recon.photos.process.require_photos", lambda: None)
    picture = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    for k in range(1 if case == "one" else 6):
        save(np.roll(picture, 0 if case == "copies" else 9 * k, axis=1), tmp_path / "in" / f"{k}.png")
    if case == "empty files":
        (tmp_path / "in" / "2.png").write_bytes(b"")
        (tmp_path / "in" / "4.png").write_bytes(b"")
    words = {"one": "at least three", "copies": "5 are copies", "empty files": "2 of 6 files cannot be read"}
    with pytest.raises(DataError, match=words[case]):
        process(tmp_path / "in", tmp_path / "out", USUAL, QUIET)


def test_a_folder_with_other_files_is_not_written_to(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("recon.photos.process.require_photos", lambda: None)
    save(np.zeros((100, 100, 3), np.uint8), tmp_path / "in" / "a.png")
    with pytest.raises(UsageError, match="other files"):
        process(tmp_path / "in", tmp_path / "in", USUAL, QUIET)


def test_the_extra_is_named_when_it_is_missing(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(CapabilityError, match=r"formfield\[photos\]"):
        process(tmp_path, tmp_path / "out", USUAL, QUIET)


def test_an_interruption_ends_the_child(tmp_path: Path):
    """Whatever goes wrong while the child works, it is gone afterwards."""
    started = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            code = 'import sys, time; print(\'{"stage": "features", "done": 1, "total": 2}\', flush=True); time.sleep(600)'
            super().__init__([sys.executable, "-c", code], **kwargs)
            started.append(self)

    def stop(stage: str, count: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search.subprocess, "Popen", Recorded)
        patch.setattr(search, "SECONDS_TO_END", 0.2)
        with pytest.raises(KeyboardInterrupt):
            search.run_child({"names": ["a", "b"], "database": str(tmp_path / "d.db")}, stop)
    assert started[0].returncode is not None


def test_a_child_that_dies_is_an_error_with_its_last_words(tmp_path: Path, monkeypatch):
    class Dying(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(
                [sys.executable, "-c", "import os, sys; sys.stderr.write('no good'); sys.stderr.flush(); os.abort()"], **kwargs
            )

    monkeypatch.setattr(search.subprocess, "Popen", Dying)
    with pytest.raises(Exception, match="no good") as failed:
        search.run_child({"names": ["a"], "database": str(tmp_path / "d.db")}, lambda *_: None)
    assert "run the same command again" in str(failed.value)


@needs
def test_ctrl_c_keeps_what_was_done_and_the_next_run_goes_on(studio: Path, monkeypatch):
    def interrupted(stage: str, done: int, total: int) -> None:
        if stage == "features" and done:
            raise KeyboardInterrupt

    original = search.run_child
    monkeypatch.setattr("recon.photos.tries.run_child", lambda job, progress: original(job, interrupted))
    with pytest.raises(Interrupted, match="kept"):
        process(studio / "in", studio / "stopped", USUAL, QUIET)
    (database,) = (studio / "stopped" / "work").glob("features-*/database.db")
    assert search.count_rows(str(database), "keypoints") > 0
    assert not (studio / "stopped" / "transforms.json").exists()
    monkeypatch.setattr("recon.photos.tries.run_child", original)
    assert process(studio / "in", studio / "stopped", USUAL, QUIET)["photographs"]["used"] == 9


@needs
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_the_child_ends_with_a_parent_that_is_killed(studio: Path, tmp_path: Path):
    source, out = str(studio / "in"), str(tmp_path / "out")
    code = f"from tests.recon.photos.test_photos_process import *; process(Path({source!r}), Path({out!r}), USUAL, QUIET)"
    root = Path(__file__).parents[3]
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
    children: list[int] = []
    for _ in range(200):
        time.sleep(0.1)
        listing = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent.pid)], capture_output=True, text=True).stdout.split()
        children = [int(pid) for pid in listing]
        if children or parent.poll() is not None:
            break
    assert children, "the search never started"
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for _ in range(100):
        alive = [pid for pid in children if Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"]
        if not alive:
            break
        time.sleep(0.1)
    assert not alive


@needs
def test_a_film_gives_frames_with_cameras(tmp_path: Path):
    import av

    paper = printed((0, 0), 240.0, 0.0)
    with av.open(str(tmp_path / "orbit.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for camera in around((0, 0, 0), 320.0, (50,), 40, *SIZE, 40.0, turn_deg=90):
            for packet in stream.encode(av.VideoFrame.from_ndarray(photograph(paper, camera, samples=1), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    report = process(tmp_path / "orbit.mp4", tmp_path / "out", PhotoOptions(frames=8), QUIET)
    assert report["photographs"] == {"given": 8, "used": 8}
    names = json.loads((tmp_path / "out" / "names.json").read_text())
    times = [row["time_s"] for row in names.values()]
    assert times == sorted(times)
    assert all(name.startswith("images/frame_") for name in names)
