"""Functions that programs call below the interface. Contractions are the numbers of :class:`.contraction.ContractionType`."""

from __future__ import annotations

from torch import Tensor

from .contraction import ContractionType
from .contraction import contract as _contract
from .contraction import contract_inv as _contract_inv
from .grid import march as ray_marching
from .grid import query_grid, ray_aabb_intersect
from .packing import ray_resampling, unpack_data, unpack_info

__all__ = [
    "ContractionTypeGetter",
    "contract",
    "contract_inv",
    "grid_query",
    "is_cub_available",
    "ray_aabb_intersect",
    "ray_marching",
    "ray_resampling",
    "unpack_data",
    "unpack_info",
]


def is_cub_available() -> bool:
    """Whether sums by indices are there: yes."""
    return True


def ContractionTypeGetter(value: int) -> int:
    """The number of a contraction."""
    return ContractionType(value).value


def contract(x: Tensor, roi: Tensor, kind: int) -> Tensor:
    """:func:`.contraction.contract` by number."""
    return _contract(x, roi, ContractionType(kind))


def contract_inv(x: Tensor, roi: Tensor, kind: int) -> Tensor:
    """:func:`.contraction.contract_inv` by number."""
    return _contract_inv(x, roi, ContractionType(kind))


def grid_query(samples: Tensor, roi: Tensor, values: Tensor, kind: int) -> Tensor:
    """:func:`.grid.query_grid` by number."""
    return query_grid(samples, roi, values, ContractionType(kind))
