"""The density of a signed distance: VolSDF's, made even over the angles at which rays meet the surface.

VolSDF's density is a function of the distance alone. A ray that meets the surface at an angle stays longer in the fog before it: outside
a plane, met at the cosine c, its optical depth is ``exp(-s / beta) / (2 c)``, so that half of its light is gone
``beta ln(1 / (2 c ln 2))`` before the zero set: 0.33 beta behind it for a ray straight on, 2.7 beta before it for one that grazes. A
surface that is to look right along its outline therefore lies 2.7 beta too deep. With that length added to the distance, half of the
light is left on the zero set at every angle; outside, it is the density times ``2 c ln 2``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import kernels

STRAIGHT_ON = 1.0 / (2.0 * math.log(2.0))
"""Cosine at which VolSDF's density leaves half of the light on the zero set. Nearer to straight on this holds behind the surface, where the
density is another: the length is 0.327 beta for 0.335 there."""
LEAST_COSINE = 0.1
"""A ray that grazes more is treated like this one: its angle changes within the fog."""


def even_density(sdf: Tensor, slope: Tensor, directions: Tensor, rays: Tensor, beta: Tensor) -> Tensor:
    """Density that leaves half of a ray's light on the zero set, whatever the angle.

    Args:
        sdf: Signed distance, scene units. [S]
        slope: Its gradient. The angle and the length that is added are taken as they are: nothing is learnt through them. [S, 3]
        directions: Of the rays, unit. [R, 3]
        rays: To which ray each sample belongs. int [S]
        beta: Scale, scene units. [1]
    Returns:
        Per scene unit; differentiable in ``sdf`` and ``beta``. [S]
    """
    along = directions.index_select(0, rays)
    cosine = (nn.functional.normalize(slope.detach(), dim=-1) * along).sum(-1).abs().clamp_min(LEAST_COSINE)
    return kernels.laplace_density(sdf + beta.detach() * torch.log(STRAIGHT_ON / cosine), beta)
