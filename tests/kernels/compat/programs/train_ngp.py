"""A program as they are written for CUDA: a hash grid and two small networks of tinycudann, an occupancy grid of nerfacc, a folder in the
format of Blender, ``cuda:0`` throughout. It knows nothing of what it is run on."""

import argparse
import json
import math
import time
from pathlib import Path

import imageio.v3 as imageio
import nerfacc
import numpy as np
import tinycudann as tcnn
import torch
import torch.nn.functional as F
from nerfacc.estimators.occ_grid import OccGridEstimator
from torch.cuda.amp import custom_bwd, custom_fwd

parser = argparse.ArgumentParser()
parser.add_argument("data", type=Path)
parser.add_argument("--steps", type=int, default=2000)
parser.add_argument("--samples", type=int, default=1 << 15)
parser.add_argument("--log2-hashmap-size", type=int, default=17)
parser.add_argument("--grid", type=int, default=128)
parser.add_argument("--test-views", type=int, default=5)
parser.add_argument("--step-size", type=float, default=1e-2)
parser.add_argument("--alpha-thre", type=float, default=0.0)
parser.add_argument("--warmup", type=int, default=0)
parser.add_argument("--max-resolution", type=int, default=2048)
parser.add_argument("--half-size", type=float, default=1.5)
parser.add_argument("--weight-decay", type=float, default=1e-6)
parser.add_argument("--beta2", type=float, default=0.999)
args = parser.parse_args()

device = torch.device("cuda:0")
torch.cuda.set_device(0)
torch.manual_seed(42)


class TruncExp(torch.autograd.Function):
    @staticmethod
    @custom_fwd(cast_inputs=torch.float32)
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.exp(x)

    @staticmethod
    @custom_bwd
    def backward(ctx, g):
        return g * torch.exp(torch.clamp(ctx.saved_tensors[0], max=15))


class Field(torch.nn.Module):
    def __init__(self, aabb):
        super().__init__()
        self.register_buffer("aabb", aabb)
        self.directions = tcnn.Encoding(
            3, {"otype": "Composite", "nested": [{"n_dims_to_encode": 3, "otype": "SphericalHarmonics", "degree": 4}]}
        )
        self.base = tcnn.NetworkWithInputEncoding(
            n_input_dims=3,
            n_output_dims=16,
            encoding_config={
                "otype": "HashGrid",
                "n_levels": 16,
                "n_features_per_level": 2,
                "log2_hashmap_size": args.log2_hashmap_size,
                "base_resolution": 16,
                "per_level_scale": math.exp(math.log(args.max_resolution / 16) / 15),
            },
            network_config={
                "otype": "FullyFusedMLP",
                "activation": "ReLU",
                "output_activation": "None",
                "n_neurons": 64,
                "n_hidden_layers": 1,
            },
        )
        self.head = tcnn.Network(
            self.directions.n_output_dims + 15,
            3,
            {"otype": "FullyFusedMLP", "activation": "ReLU", "output_activation": "Sigmoid", "n_neurons": 64, "n_hidden_layers": 2},
        )

    def density(self, x, features=False):
        x = (x - self.aabb[:3]) / (self.aabb[3:] - self.aabb[:3])
        inside = ((x > 0) & (x < 1)).all(-1, keepdim=True)
        raw = self.base(x).to(x)
        density = TruncExp.apply(raw[:, :1] - 1) * inside
        return (density, raw[:, 1:]) if features else density

    def forward(self, x, d):
        density, features = self.density(x, True)
        return self.head(torch.cat([self.directions((d + 1) / 2), features], -1)).to(x), density


def load(split, limit=None):
    meta = json.loads((args.data / f"transforms_{split}.json").read_text())
    frames = meta["frames"][:limit]
    images = np.stack([imageio.imread(args.data / (f["file_path"] + ".png")) for f in frames]).astype(np.float32) / 255
    images = images[..., :3] * images[..., 3:] + 1 - images[..., 3:]
    poses = torch.tensor(np.array([f["transform_matrix"] for f in frames]), dtype=torch.float32)
    focal = 0.5 * images.shape[2] / math.tan(0.5 * meta["camera_angle_x"])
    return torch.from_numpy(images).to(device), poses.cuda(), focal


def rays(poses, focal, u, v, shape):
    h, w = shape
    d = torch.stack([(u + 0.5 - w / 2) / focal, -(v + 0.5 - h / 2) / focal, -torch.ones_like(u, dtype=torch.float32)], -1)
    d = (poses[..., :3, :3] @ d[..., None])[..., 0]
    return poses[..., :3, 3].expand_as(d), F.normalize(d, dim=-1)


def render(field, estimator, origins, directions, background, step_size):
    def points(t_starts, t_ends, ray_indices):
        return origins[ray_indices] + directions[ray_indices] * (t_starts + t_ends)[:, None] / 2

    def sigma_fn(t_starts, t_ends, ray_indices):
        return field.density(points(t_starts, t_ends, ray_indices)).squeeze(-1)

    def rgb_sigma_fn(t_starts, t_ends, ray_indices):
        rgb, sigma = field(points(t_starts, t_ends, ray_indices), directions[ray_indices])
        return rgb, sigma.squeeze(-1)

    ray_indices, t_starts, t_ends = estimator.sampling(
        origins, directions, sigma_fn=sigma_fn, render_step_size=step_size, stratified=field.training, alpha_thre=args.alpha_thre
    )
    rgb, _, _, _ = nerfacc.rendering(t_starts, t_ends, ray_indices, n_rays=len(origins), rgb_sigma_fn=rgb_sigma_fn, render_bkgd=background)
    return rgb, len(t_starts)


images, poses, focal = load("train")
h, w = images.shape[1:3]
aabb = torch.tensor([-args.half_size] * 3 + [args.half_size] * 3, device=device)
estimator = OccGridEstimator(roi_aabb=aabb, resolution=args.grid, levels=1).to(device)
field = Field(aabb).to(device)
scaler = torch.cuda.amp.GradScaler(2**10)
optimizer = torch.optim.Adam(field.parameters(), lr=1e-2, betas=(0.9, args.beta2), eps=1e-15, weight_decay=args.weight_decay)
scheduler = torch.optim.lr_scheduler.ChainedScheduler(
    [
        torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.01 if args.warmup else 1.0, total_iters=max(args.warmup, 1)),
        torch.optim.lr_scheduler.MultiStepLR(optimizer, [args.steps // 2, args.steps * 3 // 4, args.steps * 9 // 10], gamma=0.33),
    ]
)
background = torch.ones(3, device=device)
step_size = args.step_size
n_rays = 1024

torch.cuda.synchronize()
tic = time.time()
for step in range(args.steps):
    field.train()
    estimator.train()
    estimator.update_every_n_steps(step=step, occ_eval_fn=lambda x: field.density(x) * step_size, occ_thre=1e-2)
    i = torch.randint(0, len(images), (n_rays,), device=device)
    u, v = torch.randint(0, w, (n_rays,), device=device), torch.randint(0, h, (n_rays,), device=device)
    origins, directions = rays(poses[i], focal, u, v, (h, w))
    with torch.cuda.amp.autocast():
        rgb, samples = render(field, estimator, origins, directions, background, step_size)
    if samples == 0:
        continue
    n_rays = max(1, min(int(n_rays * args.samples / samples), 1 << 14))
    loss = F.smooth_l1_loss(rgb, images[i, v, u])
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    scheduler.step()
    if step % 100 == 0 or step == args.steps - 1:
        spent = f"seconds {time.time() - tic:.1f} cpu {time.process_time():.0f}"
        print(f"step {step} loss {loss.item():.5f} rays {len(rgb)} samples {samples} {spent}", flush=True)

field.eval()
estimator.eval()
images, poses, focal = load("test", args.test_views)
psnrs = []
with torch.no_grad():
    v, u = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
    for image, pose in zip(images, poses):
        origins, directions = rays(pose, focal, u.reshape(-1), v.reshape(-1), (h, w))
        rows = [render(field, estimator, o, d, background, step_size)[0] for o, d in zip(origins.split(8192), directions.split(8192))]
        psnrs.append(-10 * math.log10(F.mse_loss(torch.cat(rows), image.reshape(-1, 3)).item()))
print(f"views {len(psnrs)} psnr {sum(psnrs) / len(psnrs):.2f}")
