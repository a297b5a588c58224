"""Pictures of meshes and curves by VTK off screen, from exact cameras.

VTK is given the projection of :class:`recon.data.scene.Camera` itself, principal point and unequal focal lengths included, so that a
picture lies over the photograph from the same camera. It draws in float32: geometry is moved and scaled to the unit sphere for it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from recon.curves import Wireframe
from recon.data.scene import Camera
from recon.errors import CapabilityError, DataError, UsageError, require_extra
from recon.geometry import Similarity
from recon.rendering.colormaps import CURVE_COLORS
from recon.rendering.meshes import Shading
from recon.surface.mesh import Mesh, vertex_normals

TUBE_SHARE = 0.007
"""Radius of a curve's tube over the radius of everything shown."""
SAMPLES = 400
"""Points along a curve as long as that radius."""
_PIXELS = 2**24
"""Most pixels of a drawing before it is averaged: about 200 MB with VTK's buffers."""
CREASE_DEG = 35.0
"""Of meshes that come without normals, for clay."""
_CLAY = (0.78, 0.76, 0.73)


@dataclass(frozen=True)
class Still:
    """A picture of geometry.

    Attributes:
        colors: For each shading, sRGB over white, in [0, 1]. [H, W, 3] float32
        alpha: Share of the pixel that something covers. [H, W] float32
        depth: Distance along the ray at the pixel's centre, world units; 0 where nothing is. [H, W] float32
    """

    colors: dict[Shading, np.ndarray]
    alpha: np.ndarray
    depth: np.ndarray

    def over_white(self, shading: Shading) -> np.ndarray:
        """[H, W, 3] uint8"""
        return np.rint(255 * self.colors[shading]).astype(np.uint8)

    def over(self, picture: np.ndarray, shading: Shading, opacity: float = 1.0) -> np.ndarray:
        """Laid over a picture of the same size, in [0, 1], as if what is drawn were that opaque. [H, W, 3] -> [H, W, 3] uint8"""
        # Over white, a pixel is alpha c + (1 - alpha): white is taken out and the picture put in.
        free = 1.0 - self.alpha[..., None]
        laid = opacity * (self.colors[shading] - free + free * picture) + (1.0 - opacity) * picture
        return np.rint(255 * np.clip(laid, 0, 1)).astype(np.uint8)


def _load_triton_first() -> None:
    """Triton's library holds an LLVM and Mesa's software renderer loads another: Triton after Mesa ends the process, Mesa after Triton is
    fine. Torch loads Triton at the first custom op, wherever it is installed."""
    if importlib.util.find_spec("triton") is not None:
        importlib.import_module("triton")


@contextmanager
def stage(
    mesh_world: Mesh | None,
    wireframe_world: Wireframe | None,
    *,
    shadings: Sequence[Shading] = ("color",),
    supersample: int = 3,
    tube_radius: float | None = None,
) -> Iterator[Callable[[Camera], Still]]:
    """Set up a mesh, curves or both for pictures from many cameras; yields the function from a camera to a :class:`Still`.

    Args:
        mesh_world: World units, or None.
        wireframe_world: Drawn as tubes coloured by type, junctions as dark balls; or None.
        shadings: How the mesh is coloured: "color" (texture, else vertex colours, else clay; without light), "clay" (lit), "normals".
        supersample: Samples per pixel along each axis, fewer for pictures of more than 1.8 million pixels.
        tube_radius: World units; default 0.7 % of the radius of everything shown.
    Raises:
        CapabilityError: If pyvista is missing or cannot draw on this machine.
        DataError: If there is nothing to show.
    """
    pv = require_extra("pyvista", "viewer", "pictures of meshes and curves")
    _load_triton_first()
    points = [] if mesh_world is None else [mesh_world.vertices]
    if wireframe_world is not None:
        points += [c.control_points for c in wireframe_world.curves]
    if not any(len(p) for p in points):
        raise DataError("there is nothing to show: the mesh and the curves are empty", hint="look at a rendered view of the run")
    corners = np.concatenate([np.stack([p.min(0), p.max(0)]) for p in points if len(p)])
    center = (corners.min(0) + corners.max(0)) / 2
    radius = max(float(np.linalg.norm(corners.max(0) - corners.min(0)) / 2), 1e-12)
    local_from_world = Similarity(1 / radius, translation=-center / radius)

    pv.vtk_verbosity("off")  # VTK tells stderr that there is no display, then draws without one
    plotter = pv.Plotter(off_screen=True, window_size=(64, 64), lighting="none")
    try:
        plotter.set_background("white")
        plotter.camera_set = True  # else the first drawing looks from where pyvista thinks best
        plotter.render_window.SetMultiSamples(0)
        actors: dict[Shading, Any] = (
            {} if mesh_world is None else {s: _mesh_actor(pv, plotter, mesh_world, local_from_world, s) for s in shadings}
        )
        _lights(pv, plotter)
        if wireframe_world is not None:
            thickness = TUBE_SHARE if tube_radius is None else tube_radius / radius
            _curve_actors(pv, plotter, wireframe_world.transformed(local_from_world), thickness)

        def look(camera: Camera) -> Still:
            return _look(plotter, actors, tuple(shadings), camera, local_from_world, supersample)

        yield look
    finally:
        plotter.close()


def _look(
    plotter: Any, actors: dict[Shading, Any], shadings: tuple[Shading, ...], camera: Camera, local_from_world: Similarity, supersample: int
) -> Still:
    if not 1 <= supersample <= 8:
        raise UsageError(f"{supersample} samples per pixel along each axis", "between 1 and 8")
    fine = supersample
    while fine > 1 and camera.width * camera.height * fine**2 > _PIXELS:
        fine -= 1
    width, height = camera.width * fine, camera.height * fine
    plotter.window_size = (width, height)
    near, far = _place(plotter, camera, local_from_world)
    colors: dict[Shading, np.ndarray] = {}
    for shading in shadings:
        for name, actor in actors.items():
            actor.SetVisibility(name == shading)
        plotter.render()
        picture = plotter.screenshot(return_img=True)
        if picture is None or picture.shape[:2] != (height, width):
            raise CapabilityError(
                f"VTK cannot draw a picture of {width}x{height} pixels on this machine",
                "install Mesa (apt-get install libegl1 libgl1-mesa-dri)",
            )
        colors[shading] = _averaged(picture[..., :3].astype(np.float32) / 255.0, fine)
    z = _depth_buffer(plotter, width, height)
    covered = z < 1.0
    # Inverse of the projection below: the buffer holds (clip_z / clip_w + 1) / 2.
    depth_z = 2 * far * near / (far + near - (2 * np.minimum(z, 1.0) - 1) * (far - near))
    # An even number of samples has none at the centre of the pixel: the distance is that along the sample's own ray.
    rows, columns = (np.arange(n) * fine + fine // 2 for n in (camera.height, camera.width))
    y, x = np.meshgrid((rows + 0.5) / fine, (columns + 0.5) / fine, indexing="ij")
    slant = np.sqrt(((x - camera.cx) / camera.fx) ** 2 + ((y - camera.cy) / camera.fy) ** 2 + 1.0)
    depth = np.where(covered[np.ix_(rows, columns)], depth_z[np.ix_(rows, columns)] * slant, 0.0) / local_from_world.scale
    return Still(colors, _averaged(covered[..., None].astype(np.float32), fine)[..., 0], depth.astype(np.float32))


def _place(plotter: Any, camera: Camera, local_from_world: Similarity) -> tuple[float, float]:
    """Give VTK the camera; returns the near and far distances along the axis, local units."""
    pose = local_from_world.apply_to_pose(camera.world_from_camera)
    eye, ahead = pose[:, 3], pose[:, 2]
    middle = float(-eye @ ahead)  # everything lies in the unit sphere about the origin, tubes stick out a little
    far = max(middle + 1.1, 1e-2)
    near = max(middle - 1.1, 1e-3 * far)
    view = plotter.renderer.GetActiveCamera()
    view.SetPosition(*eye)
    view.SetFocalPoint(*(eye + ahead))
    view.SetViewUp(*-pose[:, 1])
    view.SetClippingRange(near, far)
    # From the axes of OpenGL (x right, y up, z backward) to clip coordinates, which are -1 and 1 at the borders of the picture.
    matrix = [
        [2 * camera.fx / camera.width, 0, 1 - 2 * camera.cx / camera.width, 0],
        [0, 2 * camera.fy / camera.height, 2 * camera.cy / camera.height - 1, 0],
        [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)],
        [0, 0, -1, 0],
    ]
    projection = view.GetExplicitProjectionTransformMatrix() or _new_matrix(plotter)
    projection.DeepCopy([float(v) for row in matrix for v in row])
    view.SetExplicitProjectionTransformMatrix(projection)
    view.SetUseExplicitProjectionTransformMatrix(True)
    return near, far


def _new_matrix(plotter: Any) -> Any:
    return type(plotter.renderer.GetActiveCamera().GetViewTransformMatrix())()


def _depth_buffer(plotter: Any, width: int, height: int) -> np.ndarray:
    """VTK's depth of the last picture, 1 where nothing is, row 0 on top. [H, W] float64"""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkFloatArray

    values = vtkFloatArray()
    plotter.render_window.GetZbufferData(0, 0, width - 1, height - 1, values)
    return vtk_to_numpy(values).reshape(height, width)[::-1].astype(np.float64)


def _averaged(fine: np.ndarray, factor: int) -> np.ndarray:
    """Mean over squares of pixels. [H * f, W * f, C] -> [H, W, C]"""
    height, width, channels = fine.shape
    return fine.reshape(height // factor, factor, width // factor, factor, channels).mean((1, 3))


def _mesh_actor(pv: Any, plotter: Any, mesh: Mesh, local_from_world: Similarity, shading: Shading) -> Any:
    faces = np.concatenate([np.full((len(mesh.faces), 1), 3, np.int64), mesh.faces.astype(np.int64)], axis=1)
    data = pv.PolyData(local_from_world.apply(mesh.vertices).astype(np.float32), faces.ravel())
    normals = mesh.normals if mesh.normals is not None else vertex_normals(mesh)
    data.point_data.active_normals = normals.astype(np.float32)
    plain: dict[str, Any] = {"lighting": False, "show_scalar_bar": False}
    if shading == "normals":
        data["shown"] = np.rint(127.5 * (normals + 1)).astype(np.uint8)
        return plotter.add_mesh(data, scalars="shown", rgb=True, name=f"mesh {shading}", **plain)
    if shading == "color" and mesh.texture is not None and mesh.uv is not None:
        data.active_texture_coordinates = mesh.uv.astype(np.float32)
        texture = pv.Texture(mesh.texture)
        texture.InterpolateOn()
        texture.MipmapOff()  # samples are averaged instead; a smaller copy of an atlas would mix its charts
        return plotter.add_mesh(data, texture=texture, name=f"mesh {shading}", **plain)
    if shading == "color" and mesh.colors is not None:
        data["shown"] = mesh.colors
        return plotter.add_mesh(data, scalars="shown", rgb=True, name=f"mesh {shading}", **plain)
    if mesh.normals is None:  # faces that meet at more than this angle are lit as two
        data = data.compute_normals(split_vertices=True, feature_angle=CREASE_DEG, consistent_normals=False, auto_orient_normals=False)
    return plotter.add_mesh(
        data, color=_CLAY, smooth_shading=True, ambient=0.25, diffuse=0.9, specular=0.06, specular_power=15, name=f"mesh {shading}"
    )


def _curve_actors(pv: Any, plotter: Any, wireframe: Wireframe, radius: float) -> None:
    """One tube actor for each type of curve, and balls at the vertices."""
    for kind, color in CURVE_COLORS.items():
        chains = [c.sample(1 / SAMPLES)[0] for c in wireframe.curves if c.type == kind]
        if not chains:
            continue
        starts = np.cumsum([0, *(len(c) for c in chains)])
        lines = np.concatenate([np.r_[len(c), start + np.arange(len(c))] for c, start in zip(chains, starts, strict=False)])
        tubes = pv.PolyData(np.concatenate(chains).astype(np.float32), lines=lines).tube(radius=radius, n_sides=12, capping=True)
        plotter.add_mesh(tubes, color=color, smooth_shading=True, ambient=0.45, diffuse=0.6, specular=0.1, name=f"curves {kind}")
    if len(wireframe.vertices):
        balls = pv.PolyData(wireframe.vertices.astype(np.float32)).glyph(
            geom=pv.Sphere(radius=1.6 * radius, theta_resolution=12, phi_resolution=12), scale=False, orient=False
        )
        plotter.add_mesh(balls, color="#1c2026", smooth_shading=True, ambient=0.5, diffuse=0.5, name="vertices")


def _lights(pv: Any, plotter: Any) -> None:
    """A key light at the camera's upper left and a weak one from the right, both moving with the camera."""
    for place, strength in (((-0.6, 0.8, 1.0), 0.85), ((0.9, 0.1, 0.6), 0.3)):
        plotter.add_light(pv.Light(light_type="camera light", position=place, intensity=strength))
