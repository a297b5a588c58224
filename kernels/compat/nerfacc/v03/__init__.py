"""The interface of nerfacc 0.3.3 to 0.3.5: one grid under a contraction, samples of shape [N, 1]."""

from .contraction import ContractionType, contract, contract_inv
from .grid import Grid, OccupancyGrid, query_grid, ray_aabb_intersect, ray_marching
from .packing import distortion as loss_distortion
from .packing import pack_data, pack_info, ray_resampling, unpack_data, unpack_info, unpack_to_ray_indices
from .volrend import (
    accumulate_along_rays,
    render_transmittance_from_alpha,
    render_transmittance_from_density,
    render_visibility,
    render_weight_from_alpha,
    render_weight_from_density,
    rendering,
)

__version__ = "0.3.5"

__all__ = [
    "ContractionType",
    "Grid",
    "OccupancyGrid",
    "__version__",
    "accumulate_along_rays",
    "contract",
    "contract_inv",
    "loss_distortion",
    "pack_data",
    "pack_info",
    "query_grid",
    "ray_aabb_intersect",
    "ray_marching",
    "ray_resampling",
    "render_transmittance_from_alpha",
    "render_transmittance_from_density",
    "render_visibility",
    "render_weight_from_alpha",
    "render_weight_from_density",
    "rendering",
    "unpack_data",
    "unpack_info",
    "unpack_to_ray_indices",
]
