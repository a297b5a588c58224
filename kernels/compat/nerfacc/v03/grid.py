"""The occupancy grid, and rays through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..walks import ray_boxes, walk_region
from .contraction import ContractionType, contract, contract_inv
from .volrend import render_visibility

MISS = 1e10


@torch.no_grad()
def query_grid(samples: Tensor, grid_roi: Tensor, grid_values: Tensor, grid_type: ContractionType) -> Tensor:
    """Values of a grid [x, y, z] at points [N, 3]; without contraction 0 outside the region."""
    kind = ContractionType(grid_type)
    unit = contract(samples, grid_roi, kind)
    size = torch.tensor(grid_values.shape, device=samples.device)
    cell = torch.minimum((unit * size).clamp_min(0).long(), size - 1)
    values = grid_values[cell[:, 0], cell[:, 1], cell[:, 2]]
    if kind is ContractionType.AABB:
        values = values * ((unit >= 0) & (unit <= 1)).all(-1)
    return values


class Grid(nn.Module):
    """What marching needs of a grid: ``roi_aabb`` [6], ``binary`` bool [x, y, z], ``contraction_type``."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()
        self.register_buffer("_dummy", torch.empty(0), persistent=False)

    def _need(self, name: str) -> Any:
        if name in self._buffers or name in self.__dict__:
            return getattr(self, name)
        raise NotImplementedError(f"a grid must set {name}")

    @property
    def device(self) -> torch.device:
        """Where the grid lies."""
        return self._buffers["_dummy"].device  # type: ignore[union-attr]

    @property
    def roi_aabb(self) -> Tensor:
        """Region [6]."""
        return self._need("_roi_aabb")

    @property
    def binary(self) -> Tensor:
        """Whether cells are occupied, [x, y, z]."""
        return self._need("_binary")

    @property
    def contraction_type(self) -> ContractionType:
        """How the grid covers space."""
        return self._need("_contraction_type")


class OccupancyGrid(Grid):
    """Cells that are worth sampling, kept up to date with a field.

    Args:
        roi_aabb: Region, 6 numbers.
        resolution: Cells per axis, one number or three.
        contraction_type: How the grid covers space.
    """

    NUM_DIM = 3

    def __init__(
        self,
        roi_aabb: list[float] | Tensor,
        resolution: int | list[int] | Tensor = 128,
        contraction_type: ContractionType = ContractionType.AABB,
    ):
        super().__init__()
        shape = torch.as_tensor([resolution] * 3 if isinstance(resolution, int) else resolution, dtype=torch.int32)
        roi = torch.as_tensor(roi_aabb, dtype=torch.float32)
        if shape.shape != (3,) or roi.shape != (6,):
            raise ValueError(f"a grid needs 3 cells per axis and 6 numbers of its region, not {shape.tolist()} and {roi.tolist()}")
        self.num_cells = int(shape.prod())
        self._contraction_type = contraction_type
        self.register_buffer("_roi_aabb", roi)
        self.register_buffer("_binary", torch.zeros(shape.tolist(), dtype=torch.bool))
        self.register_buffer("resolution", shape)
        self.register_buffer("occs", torch.zeros(self.num_cells))
        axes = [torch.arange(n) for n in shape.tolist()]
        self.register_buffer("grid_coords", torch.cartesian_prod(*axes), persistent=False)
        self.register_buffer("grid_indices", torch.arange(self.num_cells), persistent=False)

    def _get_all_cells(self) -> Tensor:
        return self.grid_indices  # type: ignore[return-value]

    @torch.no_grad()
    def _sample_uniform_and_occupied_cells(self, n: int) -> Tensor:
        uniform = torch.randint(self.num_cells, (n,), device=self.device)
        occupied = torch.nonzero(self.binary.flatten())[:, 0]
        if n < len(occupied):
            occupied = occupied[torch.randint(len(occupied), (n,), device=self.device)]
        return torch.cat([uniform, occupied])

    @torch.no_grad()
    def _update(
        self,
        step: int,
        occ_eval_fn: Callable[[Tensor], Tensor],
        occ_thre: float = 0.01,
        ema_decay: float = 0.95,
        warmup_steps: int = 256,
    ) -> None:
        cells = self._get_all_cells() if step < warmup_steps else self._sample_uniform_and_occupied_cells(self.num_cells // 4)
        coordinates: Tensor = self.grid_coords[cells]  # type: ignore[index]
        size: Tensor = self.resolution  # type: ignore[assignment]
        x = (coordinates + torch.rand(coordinates.shape, device=self.device)) / size
        if self._contraction_type is ContractionType.UN_BOUNDED_SPHERE:
            inside = (x - 0.5).norm(dim=1) < 0.5
            x, cells = x[inside], cells[inside]
        found = occ_eval_fn(contract_inv(x, self.roi_aabb, self._contraction_type)).squeeze(-1)
        occs: Tensor = self.occs  # type: ignore[assignment]
        occs[cells] = torch.maximum(occs[cells] * ema_decay, found.to(occs.dtype))
        self._binary = (occs > occs.mean().clamp(max=occ_thre)).view(self.binary.shape)

    @torch.no_grad()
    def every_n_step(
        self,
        step: int,
        occ_eval_fn: Callable[[Tensor], Tensor],
        occ_thre: float = 1e-2,
        ema_decay: float = 0.95,
        warmup_steps: int = 256,
        n: int = 16,
    ) -> None:
        """Bring the grid up to date every ``n`` steps.

        Args:
            step: Step of training.
            occ_eval_fn: Points [N, 3] to occupancies [N, 1]: density times step.
            occ_thre: A cell above the smaller of this and the mean is occupied.
            ema_decay: What a sampled cell keeps at least, from time to time.
            warmup_steps: All cells until then; then a quarter at random, and up to as many of the occupied ones.
            n: Steps between updates.
        Raises:
            RuntimeError: Not in training mode.
        """
        if not self.training:
            raise RuntimeError("every_n_step is for training; call _update() at other times")
        if step % n == 0:
            self._update(step, occ_eval_fn, occ_thre, ema_decay, warmup_steps)

    @torch.no_grad()
    def query_occ(self, samples: Tensor) -> Tensor:
        """Whether points [N, 3] lie in occupied cells."""
        return query_grid(samples, self.roi_aabb, self.binary, self.contraction_type)


@torch.no_grad()
def ray_aabb_intersect(rays_o: Tensor, rays_d: Tensor, aabb: Tensor) -> tuple[Tensor, Tensor]:
    """Entry, at least 0, and exit of rays [R, 3] and a box [6]; both 1e10 where they do not meet."""
    low, high, hits = (t[:, 0] for t in ray_boxes(rays_o, rays_d, aabb[None]))
    miss = torch.full_like(low, MISS)
    return torch.where(hits, low.clamp_min(0), miss), torch.where(hits, high, miss)


def march(
    rays_o: Tensor, rays_d: Tensor, t_min: Tensor, t_max: Tensor, roi: Tensor, binary: Tensor, kind: int, step: float, cone: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Packed information int32 [R, 2], ray of each sample [N], starts [N, 1], ends [N, 1]."""
    counts, indices, starts, ends = walk_region(rays_o, rays_d, t_min, t_max, binary, roi, int(kind), step, cone)
    packed_info = torch.stack([counts.cumsum(0) - counts, counts], -1).int()
    return packed_info, indices, starts[:, None], ends[:, None]


@torch.no_grad()
def ray_marching(
    rays_o: Tensor,
    rays_d: Tensor,
    t_min: Tensor | None = None,
    t_max: Tensor | None = None,
    scene_aabb: Tensor | None = None,
    grid: Grid | None = None,
    sigma_fn: Callable[..., Tensor] | None = None,
    alpha_fn: Callable[..., Tensor] | None = None,
    early_stop_eps: float = 1e-4,
    alpha_thre: float = 0.0,
    near_plane: float | Tensor | None = None,
    far_plane: float | Tensor | None = None,
    render_step_size: float = 1e-3,
    stratified: bool = False,
    cone_angle: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Samples of rays where a grid is occupied and the field can be seen.

    Args:
        rays_o, rays_d: [R, 3].
        t_min, t_max: Range of each ray [R]; else that of ``scene_aabb`` [6]; else 0 to 1e10. Cut to the planes.
        grid: Where to sample; everywhere without one.
        sigma_fn, alpha_fn: (starts [N, 1], ends [N, 1], rays [N]) to densities or opacities [N, 1]: samples behind a transmittance
            below ``early_stop_eps`` or with an opacity below ``alpha_thre`` are left out.
        render_step_size, cone_angle: Length of a sample at a distance t: ``max(render_step_size, cone_angle * t)``.
        stratified: Begin each ray with a random part of a step.
    Returns:
        Rays [N], starts [N, 1], ends [N, 1].
    """
    if sigma_fn is not None and alpha_fn is not None:
        raise ValueError("only one of alpha_fn and sigma_fn may be given")
    if t_min is None or t_max is None:
        if scene_aabb is not None:
            t_min, t_max = ray_aabb_intersect(rays_o, rays_d, scene_aabb)
        else:
            t_min, t_max = torch.zeros_like(rays_o[:, 0]), torch.full_like(rays_o[:, 0], MISS)
    t_min = t_min if near_plane is None else torch.clamp(t_min, min=near_plane)
    t_max = t_max if far_plane is None else torch.clamp(t_max, max=far_plane)
    if stratified:
        t_min = t_min + torch.rand_like(t_min) * render_step_size
    if grid is None:
        region = torch.tensor([-MISS] * 3 + [MISS] * 3, device=rays_o.device)
        binary, kind = torch.ones(1, 1, 1, dtype=torch.bool, device=rays_o.device), ContractionType.AABB
    else:
        region, binary, kind = grid.roi_aabb, grid.binary, grid.contraction_type
    packed_info, indices, starts, ends = march(rays_o, rays_d, t_min, t_max, region, binary, kind.value, render_step_size, cone_angle)
    function = sigma_fn or alpha_fn
    if function is None:
        return indices, starts, ends
    values = function(starts, ends, indices)
    if values.shape != starts.shape:
        raise ValueError(f"densities and opacities must have shape {list(starts.shape)}, not {list(values.shape)}")
    alphas = values if alpha_fn is not None else 1 - torch.exp(-values * (ends - starts))
    seen = render_visibility(alphas, packed_info=packed_info, early_stop_eps=early_stop_eps, alpha_thre=alpha_thre)
    return indices[seen], starts[seen], ends[seen]
