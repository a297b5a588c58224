"""What a reconstruction of a solid is asked and what it answers: plain values. World units throughout (the mesh's own)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Kind = Literal["plane", "cylinder", "cone", "sphere", "torus", "bspline"]
KINDS: tuple[Kind, ...] = ("plane", "cylinder", "cone", "sphere", "torus", "bspline")
Freeform = Literal["bspline", "facets", "omit"]
Status = Literal["solid", "open_shell", "none"]
ConstraintKind = Literal["parallel", "perpendicular", "angle", "coaxial", "equal_radius", "coplanar", "tangent", "concurrent"]

Progress = Callable[[float, str], None]
"""Told the share of the work that is done, in [0, 1], and what is next."""
Distance = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Signed distance, negative inside: points [N, 3] -> values [N] and gradients [N, 3], world units."""


@dataclass(frozen=True)
class Primitive:
    """One analytic surface, or a B-spline patch.

    Attributes:
        kind: Which surface.
        point: A point of the plane, of the cylinder's axis; the apex of the cone; the centre of sphere and torus; a point of the patch. [3]
        axis: Unit normal of the plane; unit axis of cylinder, cone (from the apex into the cone that has the face) and torus; the direction
            over which a patch is a height, or along which it is extruded; zeros for the sphere. [3]
        radius: Of cylinder and sphere; of the torus's centre circle. 0 for the other kinds.
        tube_radius: Of the torus's tube; 0 for the other kinds.
        half_angle: Between the cone's axis and its surface, radians, in (0, pi / 2); 0 for the other kinds.
        sigma_radius: Standard deviation of ``radius`` (torus: of ``tube_radius``), from residuals and the number of independent samples;
            None where it has none.
        sigma_axis_rad: Standard deviation of the axis's or normal's direction, radians; None where it has none.
        patch: A function of the patch (see :mod:`recon.solid.patches`) for ``bspline``; None for the analytic kinds.
    """

    kind: Kind
    point: np.ndarray
    axis: np.ndarray
    radius: float = 0.0
    tube_radius: float = 0.0
    half_angle: float = 0.0
    sigma_radius: float | None = None
    sigma_axis_rad: float | None = None
    patch: Any = None


@dataclass(frozen=True)
class Region:
    """A connected piece of the mesh that one primitive explains.

    Attributes:
        primitive: After all constraints.
        vertices: Numbers of the vertices, in the result's mesh, of its triangles. [k]
        triangles: Numbers of the triangles in the result's mesh. [m]
        area: Of those triangles.
        sigma: Standard deviation of the signed distances of ``vertices`` from the primitive, robust (1.4826 median absolute deviation).
        n_eff: Independent samples: area / (2 pi correlation length^2), at most the number of vertices.
        views: Number of photographs that see the region (median over its vertices); None where that is not known.
        forced: Nothing explained it: the primitive is the best of a poor choice, or a patch.
    """

    primitive: Primitive
    vertices: np.ndarray
    triangles: np.ndarray
    area: float
    sigma: float
    n_eff: float
    views: float | None = None
    forced: bool = False


@dataclass(frozen=True)
class Constraint:
    """A relation between two regions (or more, for planes through one point) that was tried.

    Attributes:
        kind: Which relation.
        a, b: Numbers of the regions; for ``concurrent`` the first two of ``others``'.
        residual: Of the equation before it was imposed, in units of length (angles: radians).
        kept: Whether the solution fulfils it exactly.
        reason: Why it was kept or dropped, in a few words.
        others: Further regions of a concurrent vertex.
    """

    kind: ConstraintKind
    a: int
    b: int
    residual: float
    kept: bool
    reason: str
    others: tuple[int, ...] = ()


@dataclass(frozen=True)
class Hole:
    """A place where the shell is open: the boundary of what is missing, and why. ``points`` is a closed polyline [n, 3]."""

    points: np.ndarray
    length: float
    reason: str


@dataclass(frozen=True)
class SolidInput:
    """What a solid is made of.

    Attributes:
        vertices: Of a closed triangle mesh, world units. [V, 3]
        faces: Triangles, counter-clockwise seen from outside. [F, 3]
        distance: Signed distance with gradients, or None: points and normals are then the mesh's.
        curves: Sharp edges as polylines [n, 3]; evidence, not a requirement.
        sigma: Standard deviation of the surface, or None: estimated from the mesh.
        views: Number of photographs that see each vertex, or None. [V]
    """

    vertices: np.ndarray
    faces: np.ndarray
    distance: Distance | None = None
    curves: tuple[np.ndarray, ...] = ()
    sigma: float | None = None
    views: np.ndarray | None = None


@dataclass(frozen=True)
class SolidOptions:
    """How a solid is made.

    Attributes:
        freeform: What becomes of regions that no primitive explains: B-spline patches, plane facets, or nothing (the shell is open there).
        seed: Of the random choices.
        seconds: Of processor time that repairing the shape may take in its child process.
    """

    freeform: Freeform = "bspline"
    seed: int = 0
    seconds: float = 60.0


@dataclass(frozen=True)
class SolidResult:
    """What came of it.

    Attributes:
        status: "solid": valid, closed, one shell, largest tolerance below 2 sigma, volume within 1 % of the mesh's. "open_shell": the valid
            faces, with the holes named. "none": no face could be made.
        shape: OpenCASCADE solid or shell (compound of faces), or None.
        regions: In the order of their numbers.
        faces: OpenCASCADE faces of ``shape``, each with the number of its region.
        constraints: All that were tried.
        holes: Of an open shell.
        reasons: Why it is no solid, one sentence each; empty for a solid.
        mesh: The input with the mesh that regions count in: turned outward, thinned if it was dense, on the zero set of its distance.
        sigma: Standard deviation of the surface that was used, world units.
        tolerance: Largest tolerance of the shape's edges and vertices, world units.
        volume_error: Volume of the shape / volume of the mesh - 1, or None.
    """

    status: Status
    shape: Any
    regions: list[Region]
    faces: list[tuple[Any, int]]
    constraints: list[Constraint]
    holes: list[Hole]
    reasons: list[str]
    mesh: SolidInput
    sigma: float
    tolerance: float = 0.0
    volume_error: float | None = None
    notes: list[str] = field(default_factory=list)
