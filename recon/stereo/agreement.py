"""Photographs compared with each other on the surface as it is while a field is trained: its pieces of plane should look alike in all.

What stereo does before the training (PatchMatch), done on the zero set, with its gradient: as Geo-NeuS (arXiv 2205.15848) and PGSR do.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import kernels
from recon.data.scene import Scene
from recon.rendering.rays import PixelBank, Rays
from recon.stereo.sources import choose_sources

PATCHES = 512
"""Places of the surface looked at in a step, at most."""
SOURCES = 4
"""Photographs that each is compared with."""
BEST = 2
"""Of these, so many that agree best count: from others the place may be hidden."""
REACH = 3
"""Pixels from the middle of a window to its border."""
NOISE = (2.0 / 255.0) ** 2
"""Variance of grey in a window that says nothing."""
MEAN_REACH = (REACH * (REACH + 1) / 3.0) ** 0.5
"""Pixels to the right and down from the middle at which something quadratic has its mean over the window."""
STEEPEST = 0.05
"""Of a window's side: more than this the surface is not taken to lie below its tangent plane; there it ends, or has an edge."""
HOPELESS = ((0.3, 0.8), (0.5, 0.15))
"""Windows that disagree by more than this, 1 - NCC, show different things: until the first share of a run the first number, from the second
on the second. While the shape is rough windows disagree because of it. Later those that still do are of what is no piece of plane, bars and
studs narrower than a window, and would wear it down."""
NOWHERE = -1e6
"""A pixel that no picture has."""
LEAST_COSINE = 0.35
"""Between the normal and a ray: what is seen at a flatter angle is not compared."""


Ask = Callable[[Tensor], tuple[Tensor, Tensor]]
"""A field's values [N, outputs] and the gradient of the first of them [N, 3] at points [N, 3]."""


class Agreement:
    """Photographs to compare, and how.

    Args:
        scene: Its training views.
        bank: Their pixels, in the same order; they are looked up here, too, and not copied.
    """

    def __init__(self, scene: Scene, bank: PixelBank):
        cameras = [v.camera for v in scene.split("train")]
        chosen = choose_sources(cameras, scene.world_from_scene.translation, scene.world_from_scene.scale, SOURCES)
        others = torch.tensor([(row + [-1] * SOURCES)[:SOURCES] for row in chosen], device=bank.starts.device)
        fx, fy, cx, cy = bank.intrinsics.double().unbind(1)
        zero, one = torch.zeros_like(fx), torch.ones_like(fx)
        matrix = torch.stack([fx, zero, cx, zero, fy, cy, zero, zero, one], 1).reshape(-1, 3, 3)
        pose = bank.scene_from_camera.double()
        eye = pose[:, :, 3]
        pixel_from_scene = matrix @ pose[:, :, :3].transpose(1, 2)
        back = pose[:, :, :3] @ torch.linalg.inv(matrix)
        there = others.clamp_min(0)
        turned = pixel_from_scene[there] @ back[:, None]
        moved = pixel_from_scene[there] @ (eye[:, None] - eye[there])[..., None]
        self.pairs = kernels.PicturePairs(bank.pixels, bank.starts, bank.widths, others, torch.cat([turned, moved], -1).float())
        self.pixel_from_scene, self.scene_from_pixel, self.eye = pixel_from_scene.float(), back.float(), eye.float()

    def loss(
        self,
        rays: Rays,
        samples: kernels.RaySamples,
        sdf: Tensor,
        share: float,
        ask: Ask,
        distance: Callable[[Tensor], Tensor],
        generator: torch.Generator,
    ) -> Tensor:
        """Mean over places of the surface of how much the photographs that agree best disagree there, by how much texture there is.

        Args:
            rays: Of training pixels, with their views.
            samples, sdf: Along them, and the signed distance there. [S]
            share: Of the run that is done.
            ask: The field's values and the gradient of the first at points.
            distance: The first of the values alone, quicker. [N, 3] -> [N]
            generator: Chooses among the places.
        """
        assert rays.views is not None
        with torch.no_grad():
            ray, t, met_there = _places(samples, sdf, generator)
            origin, way, view = rays.origins[ray], rays.directions[ray], rays.views[ray]
        values, gradient = ask((origin + t[:, None] * way).clamp(-1.0, 1.0))
        normal = torch.nn.functional.normalize(gradient, dim=-1)
        facing = (normal * way).sum(-1)
        used = met_there & (facing.detach() < -LEAST_COSINE)
        # Where the ray meets the zero set, as a function of the field: dt = -dd / (gradient . way).
        met = t - values[:, 0] / (gradient.detach() * way).sum(-1).clamp_max(-0.1)
        back = self.scene_from_pixel[view]
        middle = (self.pixel_from_scene[view] @ way[..., None]).squeeze(-1)
        middle = middle[:, :2] / middle[:, 2:]
        pixel = torch.cat([middle, torch.ones_like(middle[:, :1])], 1)
        height = torch.where(used, met * facing, -1.0)
        with torch.no_grad():
            sunk = self._sunk(origin, normal, height, pixel, back, distance)
        plane = normal / (height - sunk)[:, None]  # plane . (x - eye) = 1
        slants = (plane[:, None] @ back).squeeze(1)  # inverse depth by (u, v, 1)
        inverse = torch.stack([(slants * pixel).sum(1), slants[:, 0], slants[:, 1]], 1)
        # Places are never sorted out, only moved out of the picture: how many there are would have to be read back from a GPU.
        middle = torch.where(used[:, None], middle, NOWHERE)
        costs, texture = kernels.patch_agreement(self.pairs, view, middle, inverse, reach=REACH, noise=NOISE)
        limit = hopeless(share)
        best = torch.where(costs < limit, costs, 2.0).topk(BEST, largest=False).values
        counted = torch.where(best < limit, best, 0.0) * texture[:, None]
        return counted.sum() / (BEST * met_there.sum().clamp_min(1))

    def _sunk(
        self, origin: Tensor, normal: Tensor, height: Tensor, pixel: Tensor, back: Tensor, distance: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """How deep below its tangent plane the surface lies in the mean of a window: nothing on a plane, and what a ball falls away by.

        The plane that makes a window agree best is the mean one; taken for the tangent, it would press round shapes in. [M]
        """
        corners = pixel[:, None] + pixel.new_tensor([[-1, -1, 0], [1, -1, 0], [-1, 1, 0], [1, 1, 0]]) * MEAN_REACH
        ways = corners @ back.transpose(1, 2)  # [M, 4, 3]
        along = height[:, None] / (ways * normal[:, None]).sum(-1).clamp_max(-1e-6)
        on_plane = origin[:, None] + along[..., None] * ways
        side = (on_plane[:, 1] - on_plane[:, 0]).norm(dim=-1)
        mean = distance(on_plane.reshape(-1, 3).clamp(-1.0, 1.0)).reshape(-1, 4).mean(1)
        return torch.where(mean.abs() < STEEPEST * side, mean, 0.0)


def hopeless(share: float) -> float:
    """:data:`HOPELESS` when a share of the run is done."""
    (first, most), (last, least) = HOPELESS
    return most + (least - most) * min(max((share - first) / (last - first), 0.0), 1.0)


def _places(samples: kernels.RaySamples, sdf: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Some rays, those that meet the surface before the others; at which distance they first do; whether they do. Each [M]"""
    index = samples.ray_indices.long()
    number = torch.arange(len(sdf), device=sdf.device)
    enters = (sdf[:-1] > 0) & (sdf[1:] <= 0) & (index[:-1] == index[1:])
    never = len(sdf)
    first = number.new_full((samples.rays,), never).scatter_reduce(0, index[:-1], torch.where(enters, number[:-1], never), "amin")
    lot = torch.rand(samples.rays, generator=generator, device=sdf.device) + (first < never)
    ray = lot.topk(min(PATCHES, samples.rays), sorted=False).indices
    met, at = first[ray] < never, first[ray].clamp_max(len(sdf) - 2)
    share = torch.where(met, sdf[at] / (sdf[at] - sdf[at + 1]), 0.0)
    return ray, samples.t[at] + share * (samples.t[at + 1] - samples.t[at]), met
