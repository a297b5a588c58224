"""Vertex normals of a mesh from the function whose zero set it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from recon.device import CPU, from_numpy, to_numpy
from recon.surface.extract import Gradient
from recon.surface.mesh import Mesh, vertex_normals


def with_field_normals(
    mesh: Mesh, gradient: Gradient | None, *, sphere_radius: float | None = None, points_per_call: int = 2**18, device: torch.device = CPU
) -> Mesh:
    """The mesh with the function's gradients, made unit length, as its normals.

    A simplified mesh has few faces, and the mean of their normals is coarse; the function still knows the normal at each vertex. The faces'
    mean is kept where the function has no say: on the sphere at which the mesh was cut, where the gradient is zero, and where it points
    to the inner side of the faces (a vertex moved across a thin wall).

    Args:
        mesh: In the frame of the function.
        gradient: Value and gradient at points, [N, 3] -> ([N], [N, 3]); None leaves the faces' normals.
        sphere_radius: Radius of the sphere about the origin at which the mesh was cut, or None.
        points_per_call: Most points in one call.
        device: Where ``gradient`` wants its points.
    Returns:
        The mesh with unit normals; zero at a vertex of faces without area of which the function knows nothing either.
    """
    normals = vertex_normals(mesh)
    if gradient is None:
        return replace(mesh, normals=normals)
    for start in range(0, len(mesh.vertices), points_per_call):
        part = slice(start, start + points_per_call)
        points = mesh.vertices[part]
        slope = to_numpy(gradient(from_numpy(points, device))[1].double())
        length = np.linalg.norm(slope, axis=1, keepdims=True)
        slope = np.divide(slope, length, out=np.zeros_like(slope), where=length > 1e-12)
        known = (slope * normals[part]).sum(1) > 0
        if sphere_radius is not None:
            known &= np.linalg.norm(points, axis=1) < (1 - 1e-3) * sphere_radius
        normals[part] = np.where(known[:, None], slope, normals[part])
    return replace(mesh, normals=normals)
