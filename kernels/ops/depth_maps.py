"""``refit_normals``, ``filter_depth`` and ``fuse_depth``: depth maps of several views. Not differentiable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import backends
from ..backends.reference import depth_maps as reference
from ..errors import ArgumentError
from .patch_match import StereoView, check_depth, pixel_from_view


@dataclass(frozen=True)
class Agreement:
    """What other views say of a view's depth.

    Attributes:
        count: Views whose depth agrees. uint8 [H, W]
        depth: Mean of the view's own depth and of what those say; 0 where there is none. float32 [H, W]
        angle: Largest angle between the pixel's ray and theirs, radians. float32 [H, W]
        before: Whether one of the first ``earlier`` views agrees. uint8 [H, W]
    """

    count: Tensor
    depth: Tensor
    angle: Tensor
    before: Tensor


def refit_normals(
    depth: Tensor, intrinsics: tuple[float, float, float, float], *, radius: int = 3, jump: float = 0.02, backend: str | None = None
) -> Tensor:
    """Normals of a depth map: the plane through 1/z of the pixels about each, those of a like depth only.

    Args:
        depth: Along the optical axis, 0 where unknown. float32 [H, W]
        intrinsics: fx, fy, cx, cy, pixels.
        radius: Of the window, pixels.
        jump: Pixels whose depth differs by more than this share are left out.
        backend: Force a backend.
    Returns:
        Unit, camera axes, towards the camera; 0 where less than half the window is there. float32 [H, W, 3]
    Raises:
        ArgumentError: Wrong shape, dtype or radius.
    """
    check_depth("refit_normals", depth)
    if not 1 <= radius <= 16:
        raise ArgumentError(f"refit_normals: radius must be 1 to 16, not {radius}")
    normal = depth.new_empty(*depth.shape, 3)
    name = backends.backend("refit_normals", depth.device, backend)
    if name == "reference":
        reference.refit(depth, intrinsics, radius, jump, normal)
    else:
        _kernels(name, depth).refit_normals(depth.contiguous(), list(intrinsics), radius, jump, normal)
    return normal


def filter_depth(
    view: StereoView,
    others: Sequence[StereoView],
    *,
    pixels: float = 1.0,
    relative: float = 0.01,
    earlier: int = 0,
    backend: str | None = None,
) -> Agreement:
    """Which other views agree with a view's depth: forth by its depth and back by theirs must end at the same pixel and depth.

    Args:
        view, others: With depth.
        pixels: Largest distance between the pixel and where it comes back to.
        relative: Largest difference of depth, as a share.
        earlier: See :attr:`Agreement.before`.
        backend: Force a backend.
    Raises:
        ArgumentError: Wrong shape or dtype, or a view without depth.
    """
    for each in (view, *others):
        if each.depth is None:
            raise ArgumentError("filter_depth: every view needs a depth")
        check_depth("filter_depth", each.depth)
    assert view.depth is not None
    shape = view.depth.shape
    count, before = (torch.empty(shape, dtype=torch.uint8, device=view.depth.device) for _ in range(2))
    mean, angle = view.depth.new_empty(shape), view.depth.new_empty(shape)
    geometry = pixel_from_view(view, others)
    limits = (earlier, pixels, relative)
    name = backends.backend("filter_depth", view.depth.device, backend)
    if name == "reference":
        reference.agree(view, others, geometry, *limits, mean, angle, count, before)
    else:
        maps = [other.depth.contiguous() for other in others if other.depth is not None]
        arrays = (view.depth.contiguous(), list(view.intrinsics), maps, geometry)
        _kernels(name, mean).filter_depth(*arrays, *limits, mean, angle, count, before)
    return Agreement(count, mean, angle, before)


def fuse_depth(view: StereoView, depth: Tensor, normal: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    """Points and normals in the world of some pixels of a view. Plain torch on any device.

    Args:
        depth: Along the optical axis. [H, W]
        normal: Camera axes. [H, W, 3]
        keep: Pixels wanted. bool [H, W]
    Returns:
        Points [N, 3] and normals [N, 3], in the order of the pixels.
    """
    fx, fy, cx, cy = view.intrinsics
    row, column = keep.nonzero(as_tuple=True)
    z = depth[row, column].double()
    local = torch.stack([(column + 0.5 - cx) / fx * z, (row + 0.5 - cy) / fy * z, z], -1)
    pose = view.camera_from_world.to(local)
    points = (local - pose[:, 3]) @ pose[:, :3]
    return points.float(), (normal[row, column].double() @ pose[:, :3]).float()


def _kernels(backend: str, like: Tensor):
    """The raw functions of a backend; type checkers see those of the CPU."""
    if TYPE_CHECKING:
        from ..backends.cpu import depth_maps

        return depth_maps
    return backends.raw(backend, "depth_maps", like)
