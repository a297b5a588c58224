"""The evaluation of curves against its own oracles, and against what others measured."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recon.curves.files.curve import Curve, ellipse, line
from recon.curves.files.wireframe import Wireframe, from_curves
from recon.evaluation.curves import evaluate_curves, even_parameters, point_metrics, voxel_average
from recon.evaluation.curves_exact import distances, exact_metrics
from recon.evaluation.report import to_plain
from recon.evaluation.truth.curves import CurveTruth, from_wireframe, read_curve_truth
from recon.geometry import Similarity
from recon.results.evaluation import curve_lines
from recon.results.figures import CurveFigures
from tests.recon.curves.wireframes import SOMEWHERE, box, mixed

ABC = Path(__file__).parents[4] / "shared" / "data" / "abc_nef"
PERFECT = [1.0, 1.0, 1.0]


def frame() -> Wireframe:
    """The edges of a box whose longest side is 1: four of 1, four of 0.75, four of 0.5."""
    return box()[0].transformed(Similarity(0.25))


def moved(wireframe: Wireframe, offset) -> Wireframe:
    return wireframe.transformed(Similarity(translation=np.asarray(offset, float)))


def without(wireframe: Wireframe, number: int) -> Wireframe:
    return from_curves([c for k, c in enumerate(wireframe.curves) if k != number])


@pytest.mark.parametrize("wireframe", [frame(), mixed(), mixed().transformed(SOMEWHERE)], ids=["box", "mixed", "elsewhere"])
def test_truth_against_itself_is_perfect(wireframe):
    results = evaluate_curves(wireframe, from_wireframe(wireframe, "truth"))
    exact = results["exact"]
    for key in ("fscore", "precision", "recall"):
        assert exact[key] == PERFECT
    assert exact["accuracy_mm"] == pytest.approx(0, abs=1e-6)
    assert exact["completeness_mm"] == pytest.approx(0, abs=1e-6)
    assert exact["types"]["agreement"] == pytest.approx(1.0)
    assert exact["types"]["matched_share"] == pytest.approx(1.0)
    assert exact["count_ratio"] == 1.0
    assert exact["length"] == pytest.approx(exact["length_truth"])
    assert all(t["recall"] == PERFECT for t in exact["by_type"].values())
    if wireframe.valence.max() > 1:
        assert (exact["junctions"]["recall"], exact["junctions"]["precision"]) == (1.0, 1.0)
    # the published protocols lose a little by their sampling
    assert results["emap"]["plain"]["fscore"][0] > 0.999
    assert results["f5"] > 0.99
    assert results["f20"] == results["nef"]["fscore"] == results["nef"]["iou"] == 1.0


@pytest.mark.parametrize("offset", [(0.003, 0, 0), (0, 0.007, 0), (0, 0, 0.015), (0.004, -0.002, 0.0025)])
def test_a_shift_scores_what_geometry_says(offset):
    """An edge along the shift keeps its distance 0 but for its end; every other is at the length of the shift's part across it."""
    wireframe = frame()
    exact = evaluate_curves(moved(wireframe, offset), from_wireframe(wireframe, "truth"))["exact"]
    across = np.array([math.dist(offset, np.eye(3)[k] * offset[k]) for k in range(3)])
    sides = np.array([1.0, 0.75, 0.5])
    expected = (across * sides).sum() / sides.sum()
    slack = max(map(abs, offset)) / 0.5  # near corners another edge is nearer, or the edge has ended
    assert exact["accuracy_mm"] == pytest.approx(1000 * expected, rel=2 * slack)
    assert exact["completeness_mm"] == pytest.approx(1000 * expected, rel=2 * slack)
    for place, threshold in enumerate((0.005, 0.01, 0.02)):
        share = sides[across < threshold].sum() / sides.sum()
        assert exact["recall"][place] == pytest.approx(share, abs=6 * slack)
        assert exact["precision"][place] == pytest.approx(share, abs=6 * slack)


def test_four_millimetres_across_are_within_five_and_six_are_not():
    truth = Wireframe(np.array([[0.0, 0, 0], [1, 0, 0]]), (line([0, 0, 0], [1, 0, 0], vertices=(0, 1)),))
    for shift, perfect in ((0.0, (1, 1, 1)), (0.004, (1, 1, 1)), (0.006, (0, 1, 1)), (0.011, (0, 0, 1)), (0.021, (0, 0, 0))):
        exact = exact_metrics(moved(truth, (0, 0.6 * shift, 0.8 * shift)), truth)
        assert exact["fscore"] == list(map(float, perfect))
        assert exact["accuracy_mm"] == pytest.approx(1000 * shift, abs=1e-9)


def test_curves_moved_by_four_millimetres_lose_f5_and_keep_f10():
    """Each its own way, 4 mm along every axis, so 5.7 mm or more across any line along an axis."""
    wireframe, rng = frame(), np.random.default_rng(3)
    shifted = [c.transformed(Similarity(translation=0.004 * rng.choice([-1.0, 1.0], 3))) for c in wireframe.curves]
    results = evaluate_curves(from_curves(shifted), from_wireframe(wireframe, "truth"))
    assert results["exact"]["fscore"][0] < 0.05
    assert results["exact"]["fscore"][1] > 0.99
    assert results["f5"] < 0.1
    assert results["f10"] > 0.97


@pytest.mark.parametrize("number", [0, 5, 11])
def test_a_missing_curve_loses_its_share_of_recall(number):
    wireframe = frame()
    exact = evaluate_curves(without(wireframe, number), from_wireframe(wireframe, "truth"))["exact"]
    share = wireframe.curves[number].length / wireframe.length
    assert exact["precision"] == PERFECT
    for recall, threshold in zip(exact["recall"], (0.005, 0.01, 0.02), strict=True):
        kept = 2 * threshold / wireframe.length  # its ends are near the others'
        assert recall == pytest.approx(1 - share + kept, abs=0.002 / wireframe.length)
    assert exact["by_type"]["line"]["recall"] == exact["recall"]
    assert (exact["count"], exact["count_truth"]) == (11, 12)


def test_a_curve_too_many_loses_its_share_of_precision():
    wireframe = frame()
    more = from_curves([*wireframe.curves, line([0.0, 0, 0], [1.0, 0.75, 0.5], vertices=(0, 1))])
    exact = evaluate_curves(more, from_wireframe(wireframe, "truth"))["exact"]
    diagonal = math.sqrt(1 + 0.75**2 + 0.5**2)
    assert exact["recall"] == PERFECT
    assert exact["precision"][0] == pytest.approx(9 / (9 + diagonal), abs=0.005)


def test_recall_by_type_blames_the_right_one():
    truth = mixed()
    exact = evaluate_curves(without(truth, 4), from_wireframe(truth, "truth"))["exact"]["by_type"]
    assert set(exact) == {"line", "circle", "ellipse", "bezier"}
    assert [exact[k]["recall"][0] for k in ("line", "ellipse", "bezier")] == PERFECT
    arc, circle = truth.curves[1].length, truth.curves[4].length
    assert exact["circle"]["recall"][0] == pytest.approx(arc / (arc + circle), abs=0.01)
    assert (exact["circle"]["curves"], exact["circle"]["curves_predicted"]) == (2, 1)


def test_types_that_are_wrong_lose_their_length():
    truth = mixed()
    as_free = replace(truth.curves[1], type="bezier", parameters={})  # the arc, called a free curve
    as_circle = replace(truth.curves[4], type="arc")  # arcs and circles are one family
    changed = Wireframe(truth.vertices, (truth.curves[0], as_free, *truth.curves[2:4], as_circle, truth.curves[5]))
    types = evaluate_curves(changed, from_wireframe(truth, "truth"))["exact"]["types"]
    assert types["agreement"] == pytest.approx(1 - truth.curves[1].length / truth.length, abs=0.01)
    scale = from_wireframe(truth, "truth").normalised_from_world.scale
    assert types["table"]["circle"]["bezier"] == pytest.approx(truth.curves[1].length * scale, rel=0.02)


def test_a_tangent_that_disagrees_is_no_match():
    truth = Wireframe(np.zeros((2, 3)), (line([0, 0, 0], [1, 0, 0], vertices=(0, 1)),))
    rungs = [line([x, -0.004, 0], [x, 0.004, 0], vertices=(0, 1)) for x in np.linspace(0.1, 0.9, 9)]
    exact = exact_metrics(from_curves(rungs), truth)
    assert exact["precision"] == PERFECT
    assert exact["types"] == {"agreement": None, "matched_share": 0.0, "table": {"line": {}}}


def test_junctions_are_where_ends_meet():
    truth = frame()
    loose = Wireframe(
        np.concatenate([c.control_points[[0, -1]] for c in truth.curves]),
        tuple(replace(c, vertices=(2 * k, 2 * k + 1)) for k, c in enumerate(truth.curves)),
    )
    assert exact_metrics(loose, truth)["junctions"]["recall"] == 0.0
    near = exact_metrics(moved(truth, (0.004, 0.004, 0.004)), truth)["junctions"]
    assert (near["recall"], near["precision"], near["count"]) == (1.0, 1.0, 8)
    assert near["median_mm"] == pytest.approx(4 * math.sqrt(3), rel=1e-6)
    assert exact_metrics(moved(truth, (0.008, 0.008, 0)), truth)["junctions"]["recall"] == 0.0
    half = exact_metrics(Wireframe(truth.vertices, truth.curves[:6]), truth)["junctions"]
    assert half["recall"] == (Wireframe(truth.vertices, truth.curves[:6]).valence >= 2).mean()


def test_gaps_between_ends():
    a, b = line([0, 0, 0], [0.5, 0, 0], vertices=(0, 1)), line([0.5, 0, 0], [0.5, 0.5, 0], vertices=(1, 2))
    truth = from_curves([a, b])
    assert exact_metrics(truth, truth)["ends"] == pytest.approx(
        {"count": 4, "shared": 0.5, "near": 0.5, "free_gap_median_mm": 1000 * 0.5 / math.sqrt(1)}
    )
    for gap, near in ((0.0005, 0.5), (0.003, 0.0)):
        apart = from_curves([a, moved(Wireframe(truth.vertices, (b,)), (gap, 0, 0)).curves[0]])
        ends = exact_metrics(apart, truth)["ends"]
        assert (ends["shared"], ends["near"]) == (0.0, near)
    closed = Wireframe(np.zeros((0, 3)), (ellipse([0, 0, 0], [1, 0, 0], [0, 1, 0], (0.5, 0.5), (0, 2 * math.pi), True, vertices=None),))
    assert exact_metrics(closed, truth)["ends"]["count"] == 0


def test_distances_are_to_curves_not_to_samples():
    rng = np.random.default_rng(1)
    wireframe = frame()
    points = rng.uniform(-0.2, 1.2, (500, 3))
    ends = np.array([c.control_points[[0, -1]] for c in wireframe.curves])
    a, chord = ends[:, 0], ends[:, 1] - ends[:, 0]
    t = np.clip(((points[:, None] - a) * chord).sum(2) / (chord**2).sum(1), 0, 1)
    brute = np.linalg.norm(points[:, None] - a - t[..., None] * chord, axis=2).min(1)
    np.testing.assert_allclose(distances(points, wireframe), brute, atol=1e-9)
    circle = Wireframe(np.zeros((0, 3)), (ellipse([0, 0, 0], [1, 0, 0], [0, 1, 0], (0.5, 0.5), (0, 2 * math.pi), True, vertices=None),))
    exact = np.hypot(np.linalg.norm(points[:, :2], axis=1) - 0.5, points[:, 2])
    np.testing.assert_allclose(distances(points, circle), exact, atol=3e-7)


@pytest.mark.parametrize("similarity", [SOMEWHERE, Similarity(1000.0, translation=np.array([5e3, 0, -2e4]))])
def test_figures_do_not_depend_on_the_world(similarity):
    """The box of a turned object is another one, so only its size is compared where it is known."""
    truth = frame()
    shifted = moved(truth, (0.004, 0.002, 0))
    corners = np.array([[0.0, 0, 0], [1, 1, 1]])
    here = evaluate_curves(shifted, from_wireframe(truth, "here", (corners[0], corners[1])))["exact"]
    low = similarity.apply(np.zeros(3))
    there_truth = from_wireframe(truth.transformed(similarity), "there", (low, low + similarity.scale))
    there = evaluate_curves(shifted.transformed(similarity), there_truth)["exact"]
    for key in ("accuracy_mm", "completeness_mm", "precision", "recall", "length"):
        assert there[key] == pytest.approx(here[key], rel=1e-3)


def test_no_curves_score_nothing():
    truth = from_wireframe(mixed(), "truth")
    results = to_plain(evaluate_curves(Wireframe(np.zeros((0, 3)), ()), truth))
    assert (results["f5"], results["f20"], results["curves"]) == (0.0, 0.0, 0)
    assert results["exact"]["recall"] == [0.0] * 3
    assert results["exact"]["accuracy_mm"] is None
    assert results["nef"] == {"chamfer": None, "precision": 0.0, "recall": 0.0, "fscore": 0.0, "iou": 0.0}
    json.dumps(results, allow_nan=False)
    assert len(curve_lines(CurveFigures.of(results))) == 2


def test_points_as_truth_give_what_points_can():
    wireframe = frame()
    points = wireframe.samples(0.002)[0]
    truth = CurveTruth("points", None, (points,), Similarity(), "curves")
    results = to_plain(evaluate_curves(wireframe, truth))
    assert results["exact"] is None
    assert results["curves_truth"] is None
    assert results["f10"] == 1.0
    assert "points only" in curve_lines(CurveFigures.of(results))[1]


def test_results_name_their_protocols():
    results = evaluate_curves(frame(), from_wireframe(frame(), "the truth's name"))
    assert set(results["protocol"]) == {"frame", "emap", "nef", "exact"}
    assert results["truth"]["label"] == "the truth's name"
    assert results["emap"]["averaged"]["thresholds_mm"] == [5.0, 10.0, 20.0]
    lines = curve_lines(CurveFigures.of(results))
    assert "12 for 12 true ones" in lines[1]


def test_voxel_average_is_the_mean_of_each_cell():
    rng = np.random.default_rng(5)
    points = rng.uniform(-1, 1, (400, 3))
    cells: dict[tuple[int, ...], list[np.ndarray]] = {}
    for p in points:
        cells.setdefault(tuple(np.floor((p + 1) / 0.3).astype(int)), []).append(p)
    expected = np.array([np.mean(cells[k], axis=0) for k in sorted(cells)])
    np.testing.assert_allclose(voxel_average(points, 0.3, -1.0), expected, atol=1e-12)
    assert len(voxel_average(np.zeros((0, 3)), 0.3, -1.0)) == 0


def test_point_metrics_by_brute_force():
    rng = np.random.default_rng(6)
    a, b = rng.uniform(0, 0.1, (60, 3)), rng.uniform(0, 0.1, (80, 3))
    d = np.linalg.norm(a[:, None] - b, axis=2)
    figures = point_metrics(a, b, (10.0, 20.0))
    assert figures["accuracy_mm"] == pytest.approx(1000 * d.min(1).mean())
    assert figures["completeness_mm"] == pytest.approx(1000 * d.min(0).mean())
    assert figures["precision"] == [(d.min(1) < t).mean() for t in (0.01, 0.02)]
    assert figures["recall"] == [(d.min(0) < t).mean() for t in (0.01, 0.02)]


def test_short_curves_get_no_sample_as_others_have_it():
    short = from_curves([line([0, 0, 0], [0.004, 0, 0], vertices=(0, 1))])
    assert len(even_parameters(short, [math.floor(short.length / 0.005)])) == 0


@pytest.mark.data
@pytest.mark.parametrize(
    ("divisor", "accuracy", "completeness", "precision", "recall", "f5", "f10", "f20"),
    [(256, 8.05, 8.34, 0.140, 0.112, 0.125, 0.771, 0.999), (255, 6.21, 6.63, 0.363, 0.347, 0.355, 0.866, 1.0)],
    ids=["as coded", "decoded right"],
)
def test_published_curves_score_what_others_measured(divisor, accuracy, completeness, precision, recall, f5, f10, f20):
    """NEF's released curves of one object, in voxels: as its code decodes them, and with the grid's true spacing."""
    if not ABC.is_dir():
        pytest.skip("the development data folder is absent")
    record = json.loads((ABC / "00000952" / "published" / "record_00000952_stage2_cubic.json").read_text())
    world = [np.array(c)[:, [1, 0, 2]] / divisor * 2.4 - 1.2 for c in record["curves_ctl_pts"]]
    wireframe = from_curves([Curve("bezier", p, np.ones(4), (0, 0)) for p in world])
    results = evaluate_curves(wireframe, read_curve_truth(ABC / "00000952"))
    averaged = results["emap"]["averaged"]
    assert averaged["samples_truth"] == 435_390
    assert averaged["accuracy_mm"] == pytest.approx(accuracy, abs=0.006)
    assert averaged["completeness_mm"] == pytest.approx(completeness, abs=0.006)
    figures = [averaged["precision"][0], averaged["recall"][0], results["f5"], results["f10"], results["f20"]]
    assert figures == pytest.approx([precision, recall, f5, f10, f20], abs=6e-4)
    if divisor == 256:
        assert results["nef"]["fscore"] == pytest.approx(0.999, abs=6e-4)
        assert results["nef"]["chamfer"] == pytest.approx(0.0180, abs=6e-5)


@pytest.mark.data
def test_the_samples_of_the_truth_are_those_that_others_published():
    if not ABC.is_dir():
        pytest.skip("the development data folder is absent")
    truth = read_curve_truth(ABC / "00004926")
    points = read_curve_truth(ABC / "00004926" / "groundtruth" / "00004926_0.005.ply")
    assert truth.wireframe is not None
    ours, theirs = (evaluate_curves(truth.wireframe, t)["emap"]["plain"] for t in (truth, points))
    assert ours["samples_truth"] == theirs["samples_truth"] == 63_840
    assert ours["completeness_mm"] == pytest.approx(theirs["completeness_mm"], abs=0.05)
