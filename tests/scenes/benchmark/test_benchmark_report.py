"""Figures, comparison, error pictures and the page: against values worked out by hand."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from recon.curves.files.curve import line
from recon.curves.files.wireframe import Wireframe, from_curves
from recon.data.scene import Camera
from recon.errors import DataError
from recon.evaluation.truth.curves import from_wireframe
from recon.geometry import look_at
from recon.surface.mesh import Mesh
from recon.surface.raycast import ray_scene
from scenes.benchmark import figures, report
from scenes.benchmark.figures import FIGURES, compare, comparison_lines, differing, job_figures, judge, over_scenes, over_seeds, spread
from scenes.benchmark.panels import compared_curves, error_picture, surface_distances
from scenes.benchmark.scale import SCALE, scale_color

BY_KEY = {f.key: f for f in FIGURES}


def row(scene="duck", seed=0, state="done", machine="a machine", label="", method="volsdf", **values) -> dict:
    return {
        "name": f"{scene}-{method}-{seed}", "scene": scene, "method": method, "field": "hashgrid", "preset": "fast", "label": label,
        "settings": [], "seed": seed, "state": state, "machine": machine if state == "done" else None, "data_fingerprint": scene,
        "figures": values if state == "done" else {}, "reused": False, "host": "here", "run": "jobs/x/run", "message": "", "log_tail": [],
        "pictures": "pictures",
    }  # fmt: skip


def summary(*rows: dict, folder="before") -> dict:
    groups = over_seeds(rows)
    return {
        "suite": "s", "about": "about", "created": "now", "version": "0", "code_fingerprint": "c" * 64, "executor": "local",
        "jobs_at_once": 1, "machines": {}, "figures": [{"threshold": "t"}], "rows": list(rows), "groups": groups,
        "means": over_scenes(groups), "protocols": {"images": {"psnr": "how"}}, "folder": folder,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([None, None], None),
        ([3.0], {"mean": 3.0, "sd": None, "n": 1}),
        ([1.0, None, 3.0], {"mean": 2.0, "sd": math.sqrt(2.0), "n": 2}),
        ([math.inf, 1.0], {"mean": math.inf, "sd": None, "n": 2}),
    ],
)
def test_spread(values, expected):
    found = spread(values)
    assert found is None if expected is None else found == pytest.approx(expected)


def test_figures_of_a_job():
    results = {
        "images": {"psnr": "inf", "psnr_masked": None, "ssim": 1.0},
        "surface": {
            "truth_diagonal": 50.0, "thresholds": [0.1, 0.25, 0.5], "fscore": [0.1, 0.2, 0.3], "accuracy": 1.0, "completeness": 2.0,
            "chamfer_percent_of_diagonal": 3.0, "normal_consistency": 0.9,
        },
        "curves": {
            "f5": 0.9, "f10": 0.95,
            "exact": {"types": {"agreement": None}, "junctions": {"recall": 0.75}, "count_ratio": 0.8},
        },
        "training_seconds": 4.0,
    }  # fmt: skip
    found = job_figures(results, 5.0, 2**31)
    assert found["psnr"] == math.inf
    assert (found["psnr_masked"], found["silhouette_iou"]) == (None, None)
    assert (found["accuracy_percent"], found["completeness_percent"]) == (2.0, 4.0)
    assert found["fscore"] == 0.2, "the threshold of 0.5 % of 50 is 0.25"
    assert found["peak_memory_gib"] == 2.0
    curve_figures = [found[f"curve_{key}"] for key in ("f5", "f10", "types", "junctions", "count")]
    assert curve_figures == [90.0, 95.0, None, 75.0, pytest.approx(20.0)]
    fitted = {"psnr": 40.0, "ssim": 0.9, "iou_inside": 0.99, "nae_deg": 5.0, "trained_numbers": 1500, "stored_numbers": 2000}
    found = job_figures(fitted, None, None)
    keys = ("psnr", "ssim", "iou_inside", "normal_error", "trained_thousands", "stored_thousands")
    assert [found[k] for k in keys] == [40.0, 0.9, 0.99, 5.0, 1.5, 2.0]
    points_only = job_figures({"curves": {"f5": 0.5, "f10": 0.6, "exact": None}}, None, None)
    assert (points_only["curve_f5"], points_only["curve_junctions"]) == (50.0, None)
    assert set(found) == set(BY_KEY)
    assert set(job_figures({}, None, None).values()) == {None}


def test_seeds_are_averaged_and_failed_jobs_counted():
    (group,) = over_seeds([row(seed=1, psnr=30.0), row(seed=0, psnr=32.0), row(seed=2, state="failed")])
    assert (group["seeds"], group["done"], group["jobs"]) == ([0, 1, 2], 2, 3)
    assert group["figures"]["psnr"] == pytest.approx({"mean": 31.0, "sd": math.sqrt(2.0), "n": 2})
    assert group["figures"]["ssim"] is None


def test_spread_of_the_mean_over_scenes_is_that_of_simulated_batches():
    """Scenes with known spreads between seeds: the formula against many drawn batches."""
    rng = np.random.default_rng(0)
    deviations = [0.5, 1.0, 2.0]
    means = rng.normal(0, deviations, (200_000, 3)).mean(1)
    groups = over_seeds([row(f"s{i}", seed=k, psnr=10.0 + d * x) for i, d in enumerate(deviations) for k, x in enumerate([-1, 0, 1])])
    (found,) = over_scenes(groups)
    assert found["figures"]["psnr"]["sd"] == pytest.approx(means.std(), rel=0.01)
    assert found["figures"]["psnr"]["n"] == 3


@pytest.mark.parametrize(
    ("key", "before", "after", "verdict"),
    [
        ("psnr", 30.0, 30.05, "same"),
        ("psnr", 30.0, 30.2, "better"),
        ("psnr", 30.0, 29.8, "worse"),
        ("psnr", math.inf, math.inf, "same"),
        ("psnr", 30.0, math.inf, "better"),
        ("chamfer_percent", 0.5, 0.51, "same"),
        ("chamfer_percent", 0.5, 0.4, "better"),
        ("chamfer_percent", 0.5, 0.6, "worse"),
        ("training_seconds", 100.0, 105.0, "same"),
        ("training_seconds", 100.0, 80.0, "better"),
    ],
)
def test_judge(key, before, after, verdict):
    one = {"sd": None, "n": 1}
    assert judge(BY_KEY[key], {"mean": before, **one}, {"mean": after, **one})[0] == verdict


def test_noise_between_seeds_raises_the_threshold():
    """With a spread of 0.5 dB over four seeds on both sides, the difference's standard error is 0.354 dB."""
    noisy = {"sd": 0.5, "n": 4}
    verdict, limit = judge(BY_KEY["psnr"], {"mean": 30.0, **noisy}, {"mean": 30.6, **noisy})
    assert limit == pytest.approx(2 * math.sqrt(0.25 / 4 * 2))
    assert verdict == "same"
    assert judge(BY_KEY["psnr"], {"mean": 30.0, **noisy}, {"mean": 30.8, **noisy})[0] == "better"


def test_compare():
    before = summary(row(psnr=30.0, chamfer_percent=0.5, seconds=100.0), row("cam", psnr=20.0), row("gone", psnr=1.0))
    after = summary(
        row(psnr=29.0, chamfer_percent=0.3, seconds=50.0, machine="another"),
        row("cam", state="failed"),
        row("new", psnr=1.0),
        folder="after",
    )
    found = compare(before, after)
    assert {(c["figure"], c["verdict"]) for c in found["changes"]} == {("psnr", "worse"), ("chamfer_percent", "better")}
    assert found["incomparable"] == 1, "half the time on another machine means nothing"
    assert [s["group"].split()[0] for s in found["states"]] == ["cam"]
    assert (found["only_before"][0].split()[0], found["only_after"][0].split()[0]) == ("gone", "new")
    text = "\n".join(comparison_lines(found))
    assert text.index("worse ") < text.index("better ")
    assert "PSNR: 30.00 -> 29.00 dB" in text
    assert all(figures.threshold_words(f) in text for f in FIGURES)


def test_comparing_with_itself_finds_nothing():
    same = summary(row(psnr=30.0, seconds=3.0), row(seed=1, psnr=31.0, seconds=4.0))
    found = compare(same, same)
    assert (found["changes"], found["states"], found["same"], found["incomparable"]) == ([], [], 2, 0)


def test_other_data_under_the_same_name_are_told():
    after = row(psnr=30.0)
    after["data_fingerprint"] = "other"
    assert "data are not the same" in compare(summary(row(psnr=30.0)), summary(after))["notes"][0]


@pytest.mark.parametrize("text", [None, "{", "[]", "{}"])
def test_what_is_no_summary(text, tmp_path):
    if text is not None:
        (tmp_path / "summary.json").write_text(text)
    with pytest.raises(DataError, match=r"summary\.json"):
        report.read_summary(tmp_path)


def sphere(radius: float) -> Mesh:
    ball = trimesh.creation.icosphere(5, radius=radius)
    return Mesh(np.asarray(ball.vertices) + np.array([5.0, 0.0, 0.0]), np.asarray(ball.faces, np.int32))


def camera(size: int = 40) -> Camera:
    pose = look_at(np.array([5.0, -9.0, 1.0]), np.array([5.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    return Camera(size, size, 1.6 * size, 1.6 * size, size / 2, size / 2, pose)


@pytest.mark.parametrize(("shown", "other"), [(2.0, 2.1), (2.1, 2.0), (2.0, 2.0)])
def test_distances_between_two_spheres(shown, other):
    """Everywhere the difference of the radii, up to the flatness of the faces; nothing beside the sphere; facing 1 in its middle."""
    distance, facing = surface_distances(ray_scene(sphere(shown)), sphere(other), camera())
    seen = np.isfinite(distance)
    assert np.abs(distance[seen] - abs(shown - other)).max() < 0.002
    area = seen.mean() * (1 / 1.6) ** 2  # of the unit plane before the camera
    away = math.hypot(9.0, 1.0)
    assert area == pytest.approx(math.pi * shown**2 / (away**2 - shown**2), rel=0.05)
    assert facing[20, 20] == pytest.approx(1.0, abs=0.02)
    assert (facing[~seen] == 0).all()


def test_error_picture_colours():
    """Distance 0.1 of a scale that ends at 0.4 is its second colour; shading darkens by at most 0.3; white behind."""
    picture = error_picture(ray_scene(sphere(2.0)), sphere(2.1), camera(), 0.4)
    assert np.abs(picture[20, 20].astype(float) - SCALE[1]).max() < 4
    assert (picture[0, 0] == 255).all()
    hit = (picture != 255).any(-1)
    ratio = picture[hit] / SCALE[1]
    assert ratio.min() > 0.68


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, SCALE[0]), (0.5, SCALE[2]), (1.0, SCALE[-1]), (7.0, SCALE[-1]), (0.125, SCALE[:2].mean(0))]
)
def test_scale(share, expected):
    assert scale_color(np.array(share)) == pytest.approx(expected)


def test_curves_are_coloured_by_their_distance_to_the_truth():
    """Where they are right the first colour, 5 mm away the middle one, far away the last; the true ones black, and first."""
    truth = Wireframe(np.array([[0.0, 0, 0], [10, 0, 0]]), (line([0, 0, 0], [10, 0, 0], vertices=(0, 1)),), "m")
    found = [line([0, y, 0], [10, y, 0], vertices=(0, 1)) for y in (0.0, 0.05, 3.0)]
    known = from_wireframe(truth, "truth")
    compared = compared_curves(from_curves(found), known)
    assert compared is not None
    both, colors = compared
    assert [c.length for c in both.curves] == pytest.approx([10.0] * 4)
    assert colors[0] == (0, 0, 0)
    for color, stop in zip(colors[1:], (0, 2, 4), strict=True):
        np.testing.assert_allclose(color, 0.8 * SCALE[stop], atol=1)
    assert compared_curves(from_curves(found), replace(known, wireframe=None)) is None


VOID = {"meta", "img", "br", "link", "input"}


class Strict(HTMLParser):
    """Checks that tags close in order; collects every address and every data-value."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.values: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag, attrs):
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "action", "data")]
        self.values += [v or "" for k, v in attrs if k == "data-value"]
        self.scripts += tag == "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def with_pictures(folder: Path) -> None:
    (folder / "pictures").mkdir()
    Image.new("RGB", (4, 4), "red").save(folder / "pictures" / "0-photograph.jpg")
    views = [{"view": "<b>.png", "panels": {"photograph": "0-photograph.jpg"}}]
    (folder / "pictures" / "pictures.json").write_text(
        json.dumps({"views": views, "error_scale": 1.5, "curve_error_scale": 0.25, "unit": "mm"})
    )


def test_page_is_whole_and_asks_for_nothing(tmp_path):
    with_pictures(tmp_path)
    evil = "<script>alert(1)</script>"
    failed = row("cam", state="failed")
    failed |= {"message": evil, "log_tail": [evil, "</pre>"]}
    text = report.html(summary(row(psnr=30.0, label=evil), row(seed=1, psnr=31.0, label=evil), failed, row("inf", psnr=math.inf)), tmp_path)
    parser = Strict()
    parser.feed(text)
    assert parser.open == []
    assert parser.scripts == 1, "text became code"
    assert parser.addresses
    assert all(a.startswith("data:image/jpeg;base64,") for a in parser.addresses)
    assert "http" not in text.replace('http-equiv="Content-Security-Policy"', "")
    assert "30.50 ± 0.71" in text
    assert "1.5 mm and more" in text
    assert "0.25 mm and more" in text
    assert "Infinity" in parser.values, "what JavaScript reads as a number"


def test_markdown_tables_have_equal_columns(tmp_path):
    text = report.markdown(summary(row(psnr=30.0, label="a|b"), row("cam", state="failed")))
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 2
    for block in tables:
        assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1


def test_labels_are_text_in_markdown():
    """A label may hold anything: it ends no cell and begins no markup."""
    label = "<img src=x onerror=a()> [b](javascript:c) `d` *e*\x1b[2J"
    made = report.markdown(summary(row(psnr=30.0, label=label), {**row("cam", state="failed"), "message": label}))
    assert "<img" not in made
    assert "\x1b" not in made
    assert made.count(r"&lt;img src=x onerror=a()> \[b\](javascript:c) \`d\` \*e\*\\x1b\[2J") >= 2


def test_summary_survives_writing(tmp_path):
    from recon.evaluation.report import to_plain

    with_pictures(tmp_path)
    original = summary(row(psnr=math.inf), row("cam", psnr=3.0))
    report.write_report(tmp_path, to_plain(original), tmp_path)
    assert compare(original, report.read_summary(tmp_path))["changes"] == []
    assert report.read_summary(tmp_path / "summary.json")["groups"][0]["figures"]["psnr"]["mean"] == math.inf
    assert "inf" in (tmp_path / "report.html").read_text()


def test_rows_say_what_they_differ_by():
    """What all have in common is said once, above them; a name that says nothing would be none."""
    rows = [
        {"method": "volsdf", "field": f, "preset": "fast", "label": label, "settings": ["a=1"]}
        for f, label in (("mlp", ""), ("rbfnet", "x"))
    ]
    said, name = differing(rows)
    assert said == "volsdf fast"
    assert [name(r) for r in rows] == ["mlp (a=1)", "rbfnet (x)"]
    alike = [{**r, "field": "mlp"} for r in rows]
    assert [differing(alike)[1](r) for r in alike] == ["a=1", "x"]
    said, name = differing(rows[:1])
    assert (said, name(rows[0])) == ("", "volsdf mlp fast (a=1)")


def test_tables_for_spreadsheets_and_papers(tmp_path):
    """The same rows and titles in both: with all digits, and as they are shown; a label ends no cell."""
    from recon.evaluation.report import to_plain

    with_pictures(tmp_path)
    labels = ("=1+1", "100 % & _x_")
    whole = summary(row(psnr=1 / 3 + 30, label=labels[0]), row(psnr=31.0, label=labels[1]), row("cam", psnr=math.inf, label=labels[0]))
    report.write_report(tmp_path, to_plain(whole), tmp_path)
    with open(tmp_path / "summary.csv", newline="", encoding="utf-8") as file:
        titles, *rows = csv.reader(file)
    assert titles[:3] == ["scene", "configuration", "jobs"]
    column = titles.index("PSNR [dB]")
    assert sorted(float(r[column]) for r in rows) == [1 / 3 + 30, 31.0, math.inf]
    assert not any(cell.startswith("=") for r in rows for cell in r)
    text = (tmp_path / "summary.tex").read_text(encoding="utf-8")
    assert "PSNR [dB]" in text
    assert r"100 \% \& \_x\_" in text
    assert text.count(r" \\") == len(rows) + 1
