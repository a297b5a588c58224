"""Binary glTF 2.0, as the Khronos specification has it: one node, one mesh, one primitive, the texture inside the file."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Literal

import imageio.v3 as iio
import numpy as np
from PIL import Image

from recon.surface.mesh import Mesh

_FLOAT, _UINT, _USHORT = 5126, 5125, 5123
_ARRAY_BUFFER, _ELEMENT_BUFFER = 34962, 34963


def glb_bytes(mesh: Mesh, extras: dict, *, unlit: bool, picture: Literal[".png", ".jpg"] = ".png") -> bytes:
    """A mesh as the content of a .glb file.

    Positions are stored in float32 relative to the middle of the bounding box, which is the node's translation: so nothing is lost far
    from the origin. Vertex colours are converted to linear 16-bit values, as glTF wants them; a texture stays sRGB.

    Args:
        mesh: In the file's axes and unit.
        extras: Anything JSON, for ``asset.extras``.
        unlit: Mark the material as already lit, if the mesh has colours.
        picture: Format of the texture: without loss, or JPEG, which takes about a sixth of the space.
    """
    buffer = _Buffer()
    center = (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2 if len(mesh.vertices) else np.zeros(3)
    tree: dict = {
        "asset": {"version": "2.0", "generator": "formfield", "extras": extras},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "surface", "translation": center.tolist()}],
    }
    colored = mesh.colors is not None or mesh.texture is not None
    if len(mesh.faces):
        positions = (mesh.vertices - center).astype("<f4")
        attributes = {"POSITION": buffer.accessor(positions, "VEC3", _FLOAT, _ARRAY_BUFFER, limits=True)}
        if mesh.normals is not None:
            # The specification wants unit lengths; a normal that is zero (a vertex of faces without area) becomes +y.
            length = np.linalg.norm(mesh.normals, axis=1, keepdims=True)
            unit = np.where(length > 1e-12, mesh.normals / np.maximum(length, 1e-12), [0.0, 1.0, 0.0])
            attributes["NORMAL"] = buffer.accessor(unit.astype("<f4"), "VEC3", _FLOAT, _ARRAY_BUFFER)
        if mesh.uv is not None:
            # glTF counts texture rows downwards.
            flipped = np.stack([mesh.uv[:, 0], 1 - mesh.uv[:, 1]], axis=1)
            attributes["TEXCOORD_0"] = buffer.accessor(flipped.astype("<f4"), "VEC2", _FLOAT, _ARRAY_BUFFER)
        if mesh.colors is not None and mesh.texture is None:
            rgba = np.full((len(mesh.colors), 4), 65535, "<u2")
            rgba[:, :3] = np.rint(_linear(mesh.colors / 255.0) * 65535)
            attributes["COLOR_0"] = buffer.accessor(rgba, "VEC4", _USHORT, _ARRAY_BUFFER, normalized=True)
        indices = buffer.accessor(mesh.faces.astype("<u4").reshape(-1), "SCALAR", _UINT, _ELEMENT_BUFFER)
        primitive = {"attributes": attributes, "indices": indices, "material": 0, "mode": 4}
        tree["meshes"] = [{"name": "surface", "primitives": [primitive]}]
        tree["nodes"][0]["mesh"] = 0
        material: dict = {"name": "surface", "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0}}
        if colored and unlit:
            material["extensions"] = {"KHR_materials_unlit": {}}
            tree["extensionsUsed"] = ["KHR_materials_unlit"]
        if mesh.texture is not None:
            view = buffer.view(_encoded(mesh.texture, picture))
            tree["images"] = [{"bufferView": view, "mimeType": "image/jpeg" if picture == ".jpg" else "image/png"}]
            tree["samplers"] = [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}]
            tree["textures"] = [{"source": 0, "sampler": 0}]
            material["pbrMetallicRoughness"]["baseColorTexture"] = {"index": 0}
        tree["materials"] = [material]
        tree["accessors"], tree["bufferViews"] = buffer.accessors, buffer.views
        tree["buffers"] = [{"byteLength": buffer.length}]
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = [np.array([len(text), 0x4E4F534A], "<u4").tobytes(), text]
    if buffer.length:
        chunks += [np.array([buffer.length, 0x004E4942], "<u4").tobytes(), *buffer.parts]
    total = 12 + sum(len(c) for c in chunks)
    return b"".join([np.array([0x46546C67, 2, total], "<u4").tobytes(), *chunks])


def _encoded(texture: np.ndarray, picture: Literal[".png", ".jpg"]) -> bytes:
    if picture == ".png":
        return iio.imwrite("<bytes>", texture, extension=".png")
    file = BytesIO()
    # Colour at full resolution and little loss: an atlas has hard borders between its charts.
    Image.fromarray(texture).save(file, "JPEG", quality=90, subsampling=0)
    return file.getvalue()


class _Buffer:
    """The binary chunk while it grows; every view starts at a multiple of 4 bytes."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.length = 0
        self.views: list[dict] = []
        self.accessors: list[dict] = []

    def view(self, data: bytes, target: int | None = None) -> int:
        entry: dict = {"buffer": 0, "byteOffset": self.length, "byteLength": len(data)}
        if target is not None:
            entry["target"] = target
        padded = data + b"\0" * (-len(data) % 4)
        self.parts.append(padded)
        self.length += len(padded)
        self.views.append(entry)
        return len(self.views) - 1

    def accessor(
        self, values: np.ndarray, kind: str, component: int, target: int, *, limits: bool = False, normalized: bool = False
    ) -> int:
        view = self.view(values.tobytes(), target)
        entry: dict = {"bufferView": view, "componentType": component, "count": len(values), "type": kind}
        if limits:
            entry |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        if normalized:
            entry["normalized"] = True
        self.accessors.append(entry)
        return len(self.accessors) - 1


def _linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB to linear (IEC 61966-2-1), both in [0, 1]."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
