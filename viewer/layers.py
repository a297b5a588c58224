"""What stands in the page's scene beside the field: cameras, bounds, sparse points, the exported mesh, the curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
import viser
from PIL import Image
from scipy.spatial.transform import Rotation

from recon.curves import Wireframe
from recon.curves.files.curve import CURVE_TYPES
from recon.data.scene import Camera, View
from recon.geometry import Similarity
from recon.rendering.colormaps import CURVE_COLORS, curve_rgb
from recon.solid.viewing import SolidView
from recon.surface.mesh import Mesh, transform_mesh
from recon.surface.raycast import RayScene, ray_scene
from recon.surface.reading import read_surface, world_from_gltf
from viewer.markdown import plain
from viewer.painter import Crop
from viewer.picking import CurveLines, curve_lines, pick_face

MOST_FRUSTA = 100
"""With more cameras, all are one node of lines: thousands of nodes make a page slow."""
NAMES = ("cameras", "bounds", "points", "mesh", "solid", "deviation", "curves", "axes")
"""What can be switched: solid has faces and edges, deviation is the mesh coloured by its distance from the solid."""
THUMBNAIL = 96
FRUSTUM = 0.16
"""Length of a camera's pyramid, scene units."""
TRAIN, TEST = (40, 90, 200), (235, 120, 20)
PICKED = (255, 215, 0)
SECTION = (220, 60, 160)
CLAY = (176, 170, 160)
FACE_LIFT = 0.001
"""A picked face is drawn so far in front of itself, scene units."""

_CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)
_EDGES = np.array([(i, i ^ bit) for i in range(8) for bit in (1, 2, 4) if i < i ^ bit])


def box_segments(low: Sequence[float], high: Sequence[float]) -> np.ndarray:
    """The twelve edges of a box. [12, 2, 3] float32"""
    corners = np.asarray(low) + _CORNERS * (np.asarray(high) - np.asarray(low))
    return corners[_EDGES].astype(np.float32)


def frustum_segments(camera: Camera, scene_from_world: Similarity, length: float = FRUSTUM) -> np.ndarray:
    """The eight edges of a camera's pyramid, and a mark on its upper side; scene units. [10, 2, 3] float32"""
    corners = np.array([[0, 0], [camera.width, 0], [camera.width, camera.height], [0, camera.height]], np.float64)
    top = np.array([[0.35 * camera.width, 0], [0.65 * camera.width, 0], [0.5 * camera.width, -0.2 * camera.height]])
    _, directions = camera.rays(np.concatenate([corners, top]))
    directions = directions / (directions @ camera.world_from_camera[:, 2])[:, None]
    eye = scene_from_world.apply(camera.center)
    p = eye + length * scene_from_world.rotate(directions)
    pairs = [(eye, p[k]) for k in range(4)] + [(p[k], p[(k + 1) % 4]) for k in range(4)] + [(p[4], p[6]), (p[5], p[6])]
    return np.array(pairs, np.float32)


def thumbnail(view: View) -> np.ndarray:
    """A small picture of a photograph, over light grey where it is transparent. [h, w, 3] uint8"""
    picture = Image.fromarray(view.image)
    picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    if picture.mode == "RGBA":
        paper = Image.new("RGBA", picture.size, (225, 225, 225, 255))
        paper.alpha_composite(picture)
        picture = paper
    return np.asarray(picture.convert("RGB"))


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """Real part first. [3, 3] -> [4]"""
    return Rotation.from_matrix(rotation).as_quat()[[3, 0, 1, 2]]


class Layers:
    """The nodes of the page's scene, each layer under one parent that can be hidden.

    Args:
        server: Where nodes go.
        scene_from_world: The run's similarity.
        on_camera: Called with the index of a camera whose frustum was clicked, and the visitor.
    """

    def __init__(self, server: viser.ViserServer, scene_from_world: Similarity, on_camera: Callable[[int, viser.ClientHandle], None]):
        self._scene, self._from_world, self._on_camera = server.scene, scene_from_world, on_camera
        self.parents: dict[str, Any] = {name: server.scene.add_frame(f"/{name}", show_axes=False) for name in NAMES}
        self.present: set[str] = set()
        self._frusta: list[Any] = []
        self._hidden: int | None = None
        self._exported: Any = None
        self.lines: CurveLines | None = None
        self.wireframe: Wireframe | None = None
        self.solid_view: SolidView | None = None
        self._solid_rays: RayScene | None = None

    def show(self, name: str, visible: bool) -> None:
        """Switch a layer."""
        self.parents[name].visible = visible

    def bounds(self) -> None:
        """The box around the unit sphere, and the world's axes from its centre."""
        self._lines("/bounds/box", box_segments((-1, -1, -1), (1, 1, 1)), (130, 130, 130), 1.0)
        rotation = quaternion(self._from_world.rotation)
        self._scene.add_frame("/axes/world", axes_length=0.35, axes_radius=0.006, wxyz=rotation)
        self.parents["axes"].visible = False
        self.present |= {"bounds", "axes"}

    def crop(self, crop: Crop | None) -> None:
        """Outline the crop box, or take it away."""
        if crop is None:
            self._scene.remove_by_name("/bounds/crop")
        else:
            self._lines("/bounds/crop", box_segments(crop.low, crop.high), (220, 60, 160), 2.0)

    def cameras(self, cameras: Sequence[Camera], splits: Sequence[str], views: Sequence[View] | None) -> None:
        """All cameras; with photographs as thumbnails if they are here."""
        if len(cameras) > MOST_FRUSTA:
            segments = np.concatenate([frustum_segments(c, self._from_world) for c in cameras])
            colors = np.repeat(np.array([TRAIN if s == "train" else TEST for s in splits], np.uint8), 10, axis=0)
            self._lines("/cameras/all", segments, _both_ends(colors), 1.0)
        else:
            for i, (camera, split) in enumerate(zip(cameras, splits, strict=True)):
                pose = self._from_world.apply_to_pose(camera.world_from_camera)
                handle = self._scene.add_camera_frustum(
                    f"/cameras/{i:03d}",
                    fov=2.0 * float(np.arctan(0.5 * camera.height / camera.fy)),
                    aspect=camera.width / camera.height * camera.fy / camera.fx,
                    scale=FRUSTUM,
                    thickness=1.0,
                    thickness_units="screen",
                    color=TRAIN if split == "train" else TEST,
                    image=None if views is None else thumbnail(views[i]),
                    jpeg_quality=70,
                    wxyz=quaternion(pose[:, :3]),
                    position=pose[:, 3],
                    cast_shadow=False,
                    receive_shadow=False,
                )
                self._frusta.append(handle)
                handle.on_click(lambda event, i=i: self._on_camera(i, event.client))
        self.present.add("cameras")

    def hide_camera(self, index: int | None) -> None:
        """Hide one camera, in whose place a visitor stands: its photograph would be all they see. None: show all again."""
        if index == self._hidden or not self._frusta:
            return
        if self._hidden is not None:
            self._frusta[self._hidden].visible = True
        if index is not None:
            self._frusta[index].visible = False
        self._hidden = index

    def points(self, points: np.ndarray, colors: np.ndarray) -> None:
        """Sparse points: world units [N, 3], and their colours [N, 3] uint8."""
        shown = self._from_world.apply(points).astype(np.float32)
        self._scene.add_point_cloud("/points/sparse", shown, colors, point_size=0.006, point_shape="circle", precision="float32")
        self.present.add("points")

    def mesh(self, path: Path) -> None:
        """The exported .glb itself, as it is, put back to its place in the world; other files with their vertex colours."""
        is_glb = path.suffix.lower() == ".glb"
        data = path.read_bytes() if is_glb else glb_bytes(read_surface(path))
        s, file = self._from_world, world_from_gltf(path) if is_glb else Similarity()
        self._exported = self._scene.add_glb(
            "/mesh/exported",
            data,
            scale=s.scale * file.scale,
            wxyz=quaternion(s.rotation @ file.rotation),
            position=s.apply(file.translation),
            cast_shadow=False,
            receive_shadow=False,
        )
        self.present.add("mesh")

    def section(self, mesh: Mesh | None, outline: np.ndarray | None) -> None:
        """In place of the mesh what a plane leaves of it, as clay, and its outline; None: the mesh again. Scene units."""
        if self._exported is not None:
            self._exported.visible = mesh is None
        if mesh is None or outline is None or len(mesh.faces) == 0:
            for name in ("/mesh/section", "/mesh/outline"):
                self._scene.remove_by_name(name)
            return
        self._scene.add_mesh_simple(
            "/mesh/section", mesh.vertices.astype(np.float32), mesh.faces, color=CLAY, flat_shading=True, side="double",
            cast_shadow=False, receive_shadow=False,
        )  # fmt: skip
        self._lines("/mesh/outline", outline.astype(np.float32), SECTION, 3.0)

    def marks(self, points: np.ndarray, text: str) -> None:
        """Points that were clicked, a line between two of them, and what was measured; no points take all away. [N, 3]"""
        for name in ("/marks/points", "/marks/line", "/marks/label"):
            self._scene.remove_by_name(name)
        if not len(points):
            return
        shown = points.astype(np.float32)
        self._scene.add_point_cloud("/marks/points", shown, PICKED, point_size=0.02, point_shape="circle", precision="float32")
        if len(points) == 2:
            self._lines("/marks/line", shown[None], PICKED, 3.0)
            self._scene.add_label("/marks/label", text, position=points.mean(0))

    def solid(self, view: SolidView, painted: Path | None) -> None:
        """A solid with its edges, coloured by the kinds of its faces; and the mesh in the colours of its deviation, if that is there."""
        place = self._from_world
        local = transform_mesh(replace(view.facets.mesh, colors=view.colors), place)
        self.solid_view, self._solid_rays = view, ray_scene(local)
        self.highlight_face(None)
        self._scene.add_glb("/solid/faces", glb_bytes(local), cast_shadow=False, receive_shadow=False)
        edges = [place.apply(edge) for edge in view.edges]
        if edges:
            segments = np.concatenate([np.stack([e[:-1], e[1:]], 1) for e in edges]).astype(np.float32)
            self._lines("/solid/edges", segments, (20, 20, 20), 2.0)
        self.present.add("solid")
        if painted is not None:
            self._scene.add_glb("/deviation/mesh", glb_bytes(transform_mesh(read_surface(painted), place)), cast_shadow=False)
            self.present.add("deviation")

    def face_at(self, origin: np.ndarray, direction: np.ndarray) -> int | None:
        """The face of the solid that a visitor's click means, scene units; None beside it."""
        if self.solid_view is None or self._solid_rays is None:
            return None
        return pick_face(self._solid_rays, self.solid_view.facets.face, origin, direction)

    def highlight_face(self, face: int | None) -> None:
        """Lay a colour over one face; None takes it away."""
        if face is None or self.solid_view is None or self._solid_rays is None:
            self._scene.remove_by_name("/solid/picked")
            return
        mesh, facets = self._solid_rays.mesh, self.solid_view.facets
        lifted = mesh.vertices + FACE_LIFT * facets.normals
        own = mesh.faces[facets.face == face]
        self._scene.add_mesh_simple("/solid/picked", lifted.astype(np.float32), own.astype(np.uint32), color=PICKED, side="double")

    def curves(self, wireframe: Wireframe) -> None:
        """All curves in one node, coloured by type."""
        self.wireframe, self.lines = wireframe, curve_lines(wireframe, self._from_world)
        self.highlight(None)
        if len(self.lines.segments) == 0:
            self._scene.remove_by_name("/curves/all")
            return
        table = np.array([np.array(curve_rgb(c.type)) * 255 for c in wireframe.curves]).round().astype(np.uint8)
        self._lines("/curves/all", self.lines.segments, _both_ends(table[self.lines.curve]), 3.0)
        self.present.add("curves")

    def highlight(self, curve: int | None) -> None:
        """Draw one curve thick, with a label; None takes it away."""
        if curve is None or self.lines is None or self.wireframe is None:
            for name in ("/curves/picked", "/curves/label"):
                self._scene.remove_by_name(name)
            return
        segments = self.lines.segments[self.lines.curve == curve]
        self._lines("/curves/picked", segments, PICKED, 8.0)
        picked = self.wireframe.curves[curve]
        middle = segments[len(segments) // 2].mean(0)
        text = f"{picked.type} {curve}: {picked.length:.4g} {self.wireframe.unit or ''}".rstrip()
        self._scene.add_label("/curves/label", text, position=middle)

    def _lines(self, name: str, segments: np.ndarray, colors: Any, thickness: float) -> None:
        self._scene.add_line_segments(name, segments, colors, thickness=thickness, thickness_units="screen")


def _both_ends(colors: np.ndarray) -> np.ndarray:
    """Colours of segments for viser, which takes a colour for either end and does not decode sRGB there. [S, 3] uint8 -> [S, 2, 3]"""
    c = colors / 255.0
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return np.repeat((255.0 * linear).round().astype(np.uint8)[:, None], 2, axis=1)


def glb_bytes(mesh: Mesh) -> bytes:
    """A mesh with vertex colours as a .glb file."""
    plain = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=mesh.colors, process=False)
    data = plain.export(file_type="glb")
    assert isinstance(data, bytes)
    return data


def legend(wireframe: Wireframe) -> str:
    """How many curves of each type there are, as Markdown with the colours."""
    counts = {t: sum(c.type == t for c in wireframe.curves) for t in CURVE_TYPES}
    return ", ".join(f'<span style="color:{CURVE_COLORS[t]}">&#9632;</span> {n} {t}' for t, n in counts.items() if n)


def describe_face(view: SolidView, index: int) -> str:
    """What is known about a face, as Markdown."""
    name, *rows = view.words[index]
    return f"**{plain(name)}**\n\n" + "\n".join(f"- {plain(row)}" for row in rows)


def describe_curve(wireframe: Wireframe, index: int) -> str:
    """What is known about a curve, as Markdown."""
    c, unit = wireframe.curves[index], wireframe.unit or "world units"
    rows = [("type", c.type), ("length", f"{c.length:.5g} {unit}"), ("support", f"{c.support} views")]
    if c.rmse_px is not None:
        rows.append(("error in the images", f"{c.rmse_px:.3f} px"))
    if "radius" in c.parameters:
        rows.append(("radius", f"{c.parameters['radius']:.5g} {unit}"))
    if c.vertices is not None:
        rows.append(("joins vertices", f"{c.vertices[0]} and {c.vertices[1]}"))
    return f"**Curve {index}**\n\n" + "\n".join(f"- {name}: {plain(value)}" for name, value in rows)
