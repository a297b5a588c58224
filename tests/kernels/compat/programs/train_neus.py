"""A program as surface reconstruction is written on nerfacc 0.3 and tinycudann: a distance by a hash grid and a network of torch, its
gradient by autograd and differentiated again in the eikonal loss, opacities of NeuS, devices by number."""

import argparse
import json
import math
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import tinycudann as tcnn
import torch
import torch.nn.functional as F
from nerfacc import ContractionType, OccupancyGrid, accumulate_along_rays, ray_marching, render_weight_from_alpha
from nerfacc.intersection import ray_aabb_intersect
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("data", type=Path)
parser.add_argument("--steps", type=int, default=100)
parser.add_argument("--rays", type=int, default=256)
args = parser.parse_args()
rank = 0
torch.manual_seed(1)
GRID = {
    "otype": "HashGrid",
    "n_levels": 6,
    "n_features_per_level": 2,
    "log2_hashmap_size": 12,
    "base_resolution": 8,
    "per_level_scale": 1.4,
}
STEP = 2 * 1.732 / 128


class Surface(nn.Module):
    def __init__(self):
        super().__init__()
        with torch.cuda.device(rank):
            self.encoding = tcnn.Encoding(3, GRID, dtype=torch.float32)
            self.shading = tcnn.Network(
                3 + 3 + 13,
                3,
                {"otype": "FullyFusedMLP", "activation": "ReLU", "output_activation": "Sigmoid", "n_neurons": 64, "n_hidden_layers": 2},
            )
        self.network = nn.Sequential(nn.Linear(3 + self.encoding.n_output_dims, 64), nn.Softplus(beta=100), nn.Linear(64, 14))
        with torch.no_grad():  # begins as a ball
            nn.init.constant_(self.network[2].bias, -0.5)
            nn.init.normal_(self.network[2].weight, math.sqrt(math.pi / 64), 1e-4)
            self.network[0].weight[:, 3:] = 0
            nn.init.normal_(self.network[0].weight[:, :3], 0, math.sqrt(2 / 64))
            nn.init.zeros_(self.network[0].bias)
        self.variance = nn.Parameter(torch.tensor(0.3))

    def distance(self, x, with_gradient=True):
        with torch.enable_grad():
            x = x.requires_grad_(True)
            unit = (x + 1) / 2
            out = self.network(torch.cat([2 * unit - 1, self.encoding(unit)], -1))
            if not with_gradient:
                return out
            gradient = torch.autograd.grad(out[:, :1], x, torch.ones_like(out[:, :1]), create_graph=True)[0]
        return out, gradient

    def alpha(self, sdf, normal, directions, dists):
        inv_s = torch.exp(self.variance * 10).clip(1e-6, 1e6)
        slope = -F.relu(-(directions * normal).sum(-1, keepdim=True) * 0.5 + 0.5)
        before, after = torch.sigmoid((sdf - slope * dists / 2) * inv_s), torch.sigmoid((sdf + slope * dists / 2) * inv_s)
        return ((before - after + 1e-5) / (before + 1e-5)).clip(0, 1)


def load():
    meta = json.loads((args.data / "transforms_train.json").read_text())
    images = np.stack([imageio.imread(args.data / (f["file_path"] + ".png")) for f in meta["frames"]]).astype(np.float32) / 255
    poses = torch.tensor(np.array([f["transform_matrix"] for f in meta["frames"]]), dtype=torch.float32)
    return torch.from_numpy(images).to(rank), poses.to(rank), 0.5 * images.shape[2] / math.tan(0.5 * meta["camera_angle_x"])


images, poses, focal = load()
h, w = images.shape[1:3]
model = Surface().to(rank)
box = torch.as_tensor([-1.0, -1, -1, 1, 1, 1], dtype=torch.float32, device=rank)
grid = OccupancyGrid(roi_aabb=box, resolution=32, contraction_type=ContractionType.AABB).to(rank)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.99), eps=1e-15)


def occupancy(x):
    sdf = model.distance(x, False)[:, :1].detach()
    inv_s = torch.exp(model.variance * 10)
    before, after = torch.sigmoid((sdf + STEP / 2) * inv_s), torch.sigmoid((sdf - STEP / 2) * inv_s)
    return ((before - after + 1e-5) / (before + 1e-5)).clip(0, 1)


for step in range(args.steps):
    model.train()
    grid.every_n_step(step=step, occ_eval_fn=occupancy, occ_thre=0.001)
    i = torch.randint(0, len(images), (args.rays,), device=rank)
    u, v = torch.randint(0, w, (args.rays,), device=rank), torch.randint(0, h, (args.rays,), device=rank)
    d = torch.stack([(u + 0.5 - w / 2) / focal, -(v + 0.5 - h / 2) / focal, -torch.ones_like(u, dtype=torch.float32)], -1)
    rays_d = F.normalize((poses[i, :3, :3] @ d[..., None])[..., 0], dim=-1)
    rays_o = poses[i, :3, 3]
    t_min, t_max = ray_aabb_intersect(rays_o, rays_d, box)
    with torch.no_grad():
        ray_indices, t_starts, t_ends = ray_marching(
            rays_o, rays_d, t_min=t_min, t_max=t_max, grid=grid, alpha_fn=None, near_plane=None, far_plane=None,
            render_step_size=STEP, stratified=True, cone_angle=0.0, alpha_thre=0.0,
        )  # fmt: skip
    ray_indices = ray_indices.long()
    directions = rays_d[ray_indices]
    x = rays_o[ray_indices] + directions * (t_starts + t_ends) / 2
    out, gradient = model.distance(x)
    normal = F.normalize(gradient, dim=-1)
    alpha = model.alpha(out[:, :1], normal, directions, t_ends - t_starts)
    color = model.shading(torch.cat([directions / 2 + 0.5, normal, out[:, 1:]], -1)).float()
    weights = render_weight_from_alpha(alpha, ray_indices=ray_indices, n_rays=args.rays)
    opacity = accumulate_along_rays(weights, ray_indices, values=None, n_rays=args.rays)
    rgb = accumulate_along_rays(weights, ray_indices, values=color, n_rays=args.rays) + 1 - opacity
    target = images[i, v, u]
    eikonal = ((gradient.norm(dim=-1) - 1) ** 2).mean()
    loss = F.l1_loss(rgb, target[:, :3] * target[:, 3:] + 1 - target[:, 3:]) + 0.1 * eikonal
    loss = loss + 0.1 * F.binary_cross_entropy(opacity.clip(1e-3, 1 - 1e-3), target[:, 3:])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0 or step == args.steps - 1:
        print(f"step {step} loss {loss.item():.4f} eikonal {eikonal.item():.4f} samples {len(x)}", flush=True)

direction = F.normalize(torch.randn(500, 3, device=rank), dim=-1)
low, high = torch.zeros(500, 1, device=rank), torch.full((500, 1), 1.0, device=rank)
with torch.no_grad():
    for _ in range(20):
        middle = (low + high) / 2
        inside = model.distance(direction * middle, False)[:, :1] < 0
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
print(f"radius {middle.mean().item():.3f} spread {middle.std().item():.3f}")
