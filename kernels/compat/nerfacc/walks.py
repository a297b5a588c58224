"""Rays against boxes, and through voxel grids."""

from __future__ import annotations

import torch
from torch import Tensor

from .segments import native, on_cpu


def ray_boxes(origins: Tensor, directions: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where rays enter and leave boxes.

    Args:
        origins, directions: [R, 3].
        boxes: [m, 6], lower corner, upper corner.
    Returns:
        Entry [R, m], exit [R, m] (along the line: also negative), whether the ray meets the box in front of its origin [R, m].
    """
    a = (boxes[None, :, :3] - origins[:, None]) / directions[:, None]
    b = (boxes[None, :, 3:] - origins[:, None]) / directions[:, None]
    # a ray within a face and along it divides 0 by 0: it meets the box where the other axes say
    low = torch.fmin(a, b).nan_to_num(-torch.inf, torch.inf, -torch.inf).amax(-1)
    high = torch.fmax(a, b).nan_to_num(torch.inf, torch.inf, -torch.inf).amin(-1)
    return low, high, (high > low) & (high > 0)


@on_cpu
def walk_nested(
    origins: Tensor,
    directions: Tensor,
    wanted: Tensor,
    occupied: Tensor,
    boxes: Tensor,
    crossings: Tensor,
    order: Tensor,
    hits: Tensor,
    near: Tensor,
    far: Tensor,
    step: float,
    cone_angle: float,
    limit: int,
) -> tuple[Tensor, ...]:
    """Intervals of rays within the occupied cells of nested grids, the innermost grid deciding.

    Intervals follow a comb of the step from the near plane on; one belongs to the cell in which its middle lies. With a step of 0 or
    less every voxel crossed gives one. The length at a distance t is ``max(step, cone_angle * t)``.

    Args:
        origins, directions: [R, 3].
        wanted: bool [R], rays to walk.
        occupied: bool [m, x, y, z].
        boxes: [m, 6].
        crossings, order: [R, 2 m], distances of entries and exits, ascending, and which each is: below m an entry, else an exit.
        hits: bool [R, m].
        near, far: [R].
        step, cone_angle: Lengths.
        limit: Most intervals per ray; 0 or less: no limit.
    Returns:
        Edges [E], their rays [E], whether each begins [E] and ends [E] an interval, number of edges per ray [R]; middles [N], their
        rays [N], number per ray [R]; where each walk came to [R]. All in the order of the rays.
    """
    arguments = (
        origins.float().contiguous(),
        directions.float().contiguous(),
        crossings.float().contiguous(),
        order.long().contiguous(),
        hits.bool().contiguous(),
        wanted.bool().contiguous(),
        near.float().contiguous(),
        far.float().contiguous(),
        occupied.bool().contiguous(),
        boxes.float().contiguous(),
        float(step),
        float(cone_angle),
        int(limit),
    )
    rays = origins.shape[0]
    edge_counts, counts, ends = torch.zeros(rays, dtype=torch.long), torch.zeros(rays, dtype=torch.long), torch.zeros(rays)
    native().nested_grids_count(*arguments, edge_counts, counts, ends, torch.get_num_threads())
    first_edges, first = edge_counts.cumsum(0) - edge_counts, counts.cumsum(0) - counts
    edges, middles = torch.empty(int(edge_counts.sum())), torch.empty(int(counts.sum()))
    edge_rays, middle_rays = edges.long(), middles.long()
    left, right = torch.zeros_like(edges, dtype=torch.bool), torch.zeros_like(edges, dtype=torch.bool)
    native().nested_grids_fill(*arguments, first_edges, first, edges, edge_rays, left, right, middles, middle_rays, torch.get_num_threads())
    return edges, edge_rays, left, right, edge_counts, middles, middle_rays, counts, ends


@on_cpu
def walk_region(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, occupied: Tensor, region: Tensor, kind: int, step: float, cone: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Intervals of rays whose middles lie in occupied cells of one grid under a contraction.

    Args:
        origins, directions: [R, 3].
        near, far: [R].
        occupied: bool [x, y, z].
        region: [6].
        kind: 0: the grid covers the region, and nothing is outside; 1: all of space by tanh; 2: all of space by a sphere.
        step, cone: Length of an interval at a distance t: ``max(step, cone * t)``.
    Returns:
        Number per ray [R], ray of each [N], starts [N], ends [N].
    """
    arguments = (
        origins.float().contiguous(),
        directions.float().contiguous(),
        near.float().contiguous(),
        far.float().contiguous(),
        occupied.bool().contiguous(),
        region.float().contiguous(),
        int(kind),
        float(step),
        float(cone),
    )
    if not step > 0:
        raise ValueError(f"the step must be positive, not {step}")
    first = torch.zeros(origins.shape[0] + 1, dtype=torch.long)
    threads = torch.get_num_threads()
    native().region_walk(*arguments, first, None, None, None, threads)
    starts = torch.empty(int(first[-1]))
    ends, indices = torch.empty_like(starts), starts.long()
    native().region_walk(*arguments, first, starts, ends, indices, threads)
    return first.diff(), indices, starts, ends
