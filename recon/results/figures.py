"""The figures of ``eval/results.json`` as values with types: what reports, tables and the viewer show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from recon.system.foreign import read_object, reading

T = TypeVar("T")

HINT = "evaluate the run again: recon evaluate RUN"


@dataclass(frozen=True)
class ViewFigures:
    """A held-out photograph's name, PSNR in dB and SSIM; None where it is not a number."""

    view: str
    psnr: float | None
    ssim: float | None


@dataclass(frozen=True)
class PictureFigures:
    """Pictures against held-out photographs: of the field, or of the textured mesh.

    Attributes:
        views: How many were compared.
        held_out: Of how many; results of earlier versions compared all.
        psnr: Mean over the views, dB; infinite where one is equal.
        psnr_masked: Inside the object alone; None where nothing says what the object is.
        ssim: Mean over the views.
        per_view: Each view's.
    """

    views: int
    held_out: int
    psnr: float
    psnr_masked: float | None
    ssim: float | None
    per_view: tuple[ViewFigures, ...]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> PictureFigures:
        views = int(data["views"])
        rows = tuple(ViewFigures(str(v["view"]), number(v["psnr"]), number(v["ssim"])) for v in data.get("per_view") or ())
        held_out = int(data.get("held_out", views))
        return cls(views, held_out, float(data["psnr"]), number(data["psnr_masked"]), number(data.get("ssim")), rows)


@dataclass(frozen=True)
class SilhouetteFigures:
    """IoU of silhouettes with masks: mean over the views, and of the worst one."""

    mean: float
    least: float

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> SilhouetteFigures:
        return cls(float(data["mean"]), float(data["least"]))


@dataclass(frozen=True)
class SurfaceFigures:
    """A mesh against the true surface; see :class:`recon.evaluation.surfaces.SurfaceMetrics`, of which these are some.

    ``around_share`` is None where completeness counts the whole truth, not what two photographs see of it.
    """

    accuracy: float
    completeness: float
    chamfer_l1: float
    chamfer_percent: float
    normal_consistency: float
    thresholds: tuple[float, ...]
    fscore: tuple[float, ...]
    truth_diagonal: float
    around_share: float | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> SurfaceFigures:
        return cls(
            accuracy=float(data["accuracy"]),
            completeness=float(data["completeness"]),
            chamfer_l1=float(data["chamfer_l1"]),
            chamfer_percent=float(data["chamfer_percent_of_diagonal"]),
            normal_consistency=float(data["normal_consistency"]),
            thresholds=tuple(float(x) for x in data["thresholds"]),
            fscore=tuple(float(x) for x in data["fscore"]),
            truth_diagonal=float(data["truth_diagonal"]),
            around_share=number(data.get("around_share")),
        )


@dataclass(frozen=True)
class PointFigures:
    """Points of stereo against the true surface: how many lie on the object, and % of its diagonal; None if none do."""

    points: int
    accuracy_percent: float | None
    completeness_percent: float | None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> PointFigures:
        return cls(int(data["points"]), number(data.get("accuracy_percent")), number(data.get("completeness_percent")))


@dataclass(frozen=True)
class DtuFigures:
    """A mesh against a scan of DTU, mm; see :func:`recon.evaluation.dtu.evaluate_dtu`."""

    scan: int
    accuracy: float
    completeness: float
    chamfer: float
    culling: str

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> DtuFigures:
        return cls(int(data["scan"]), float(data["d2s"]), float(data["s2d"]), float(data["overall"]), str(data["culling"]["name"]))


@dataclass(frozen=True)
class ExactCurveFigures:
    """Curves against true curves.

    Attributes:
        agreement: Share of the matched length whose type is right; None if nothing matches.
        junctions: Share of the true junctions that were found; None if there are none.
        count_ratio: Curves found, over true ones.
    """

    agreement: float | None
    junctions: float | None
    count_ratio: float


@dataclass(frozen=True)
class CurveFigures:
    """A wireframe against the truth; see :func:`recon.evaluation.curves.evaluate_curves`.

    Attributes:
        f5, f10, f20: EMAP's F-scores at 5, 10 and 20 mm.
        curves, curves_truth: How many; the truth may be points only.
        exact: None for a truth of points only.
    """

    f5: float
    f10: float
    f20: float
    curves: int
    curves_truth: int | None
    exact: ExactCurveFigures | None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> CurveFigures:
        exact = data["exact"]
        if exact is not None:
            agreement, junctions = number(exact["types"]["agreement"]), number(exact["junctions"]["recall"])
            exact = ExactCurveFigures(agreement, junctions, float(exact["count_ratio"]))
        truth = data["curves_truth"]
        f5, f10, f20 = (float(data[k]) for k in ("f5", "f10", "f20"))
        return cls(f5, f10, f20, int(data["curves"]), None if truth is None else int(truth), exact)


@dataclass(frozen=True)
class Results:
    """What a reconstruction's evaluation found.

    Attributes:
        unit: Name of the world unit, or None.
        training_seconds: In the training loop, over all sessions of the run; None if it is not known.
        images: Renders of the field; None for a method that shows none, or without held-out views.
        textured_mesh: Pictures of the exported .glb.
        best_texture: The same of the texture that is nearest to those very photographs.
        halves: The surfaces of two halves of the photographs against each other.
        silhouettes, surface, points, dtu, curves: None where nothing of the kind was compared.
        solid: Of :func:`recon.evaluation.solids.evaluate_solid`, as it stands in the file; None without a solid.
        content: All that ``results.json`` holds, with the protocols.
    """

    unit: str | None
    training_seconds: float | None
    images: PictureFigures | None
    textured_mesh: PictureFigures | None
    best_texture: PictureFigures | None
    silhouettes: SilhouetteFigures | None
    surface: SurfaceFigures | None
    halves: SurfaceFigures | None
    points: PointFigures | None
    dtu: DtuFigures | None
    curves: CurveFigures | None
    solid: dict[str, Any] | None
    content: dict[str, Any]

    @classmethod
    def of(cls, content: dict[str, Any]) -> Results:
        """The figures in what a ``results.json`` holds; of another version's, or of a fit, what is there."""

        def part(name: str, of: Callable[[Mapping[str, Any]], T]) -> T | None:
            return None if content.get(name) is None else of(content[name])

        unit = content.get("unit")
        return cls(
            unit=None if unit is None else str(unit),
            training_seconds=number(content.get("training_seconds")),
            images=part("images", PictureFigures.of),
            textured_mesh=part("textured_mesh", PictureFigures.of),
            best_texture=part("best_texture", PictureFigures.of),
            silhouettes=part("silhouettes", SilhouetteFigures.of),
            surface=part("surface", SurfaceFigures.of),
            halves=part("halves", SurfaceFigures.of),
            points=part("points", PointFigures.of),
            dtu=part("dtu", DtuFigures.of),
            curves=part("curves", CurveFigures.of),
            solid=content.get("solid"),
            content=content,
        )


def read_results(path: Path) -> Results:
    """Read a run's ``eval/results.json``.

    Raises:
        DataError: If it is missing or holds something else.
    """
    content = read_object(path, "results of an evaluation", {}, HINT)
    with reading(path, "results of an evaluation", HINT):
        return Results.of(content)


def number(value: Any) -> float | None:
    """A figure as results.json holds it: "inf" and "-inf" are text there, and null is not measured.

    Raises:
        ValueError: For other text.
    """
    return None if value is None else float(value)
