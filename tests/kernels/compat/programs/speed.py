"""One hash grid with a network, forward and backward: the stand-in for tinycudann, and the same field as radiance field libraries write it
in plain torch where tinycudann is missing: all levels hashed at once, eight lookups, linear layers. Prints seconds of each: of the clock,
and of all cores together."""

import argparse
import math
import resource
import time

import torch
from torch import nn

import kernels.compat.tinycudann as tcnn

parser = argparse.ArgumentParser()
parser.add_argument("--points", type=int, default=1 << 15)
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--log2-hashmap-size", type=int, default=19)
args = parser.parse_args()
LEVELS, FEATURES, BASE, FINEST, WIDTH = 16, 2, 16, 2048, 64


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        growth = math.exp(math.log(FINEST / BASE) / (LEVELS - 1))
        self.size = 2**args.log2_hashmap_size
        self.register_buffer("scales", torch.floor(BASE * growth ** torch.arange(LEVELS)))
        self.register_buffer("offsets", torch.arange(LEVELS) * self.size)
        self.table = nn.Parameter((torch.rand(LEVELS * self.size, FEATURES) * 2 - 1) * 1e-4)
        self.network = nn.Sequential(nn.Linear(LEVELS * FEATURES, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 16))

    def rows(self, vertex):
        vertex = vertex * torch.tensor([1, 2654435761, 805459861])
        return (vertex[..., 0] ^ vertex[..., 1] ^ vertex[..., 2]) % self.size + self.offsets

    def forward(self, x):
        scaled = x[:, None] * self.scales[:, None]
        high, low = scaled.ceil().long(), scaled.floor().long()
        u = scaled - low
        corners = []
        for corner in range(8):
            pick = torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2]).bool()
            corners.append(self.table[self.rows(torch.where(pick, high, low))])
        for axis in range(3):
            w = u[..., axis : axis + 1]
            corners = [a * (1 - w) + b * w for a, b in zip(corners[::2], corners[1::2])]
        return self.network(corners[0].flatten(1))


def seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(module):
    x = torch.rand(args.points, 3, generator=torch.Generator().manual_seed(0))
    best = [math.inf, math.inf]
    for _ in range(args.repeats + 1):
        start = time.perf_counter(), seconds()
        module.zero_grad(set_to_none=True)
        module(x).square().sum().backward()
        taken = time.perf_counter() - start[0], seconds() - start[1]
        best = [min(a, b) for a, b in zip(best, taken)]
    return best


ours = measure(
    tcnn.NetworkWithInputEncoding(
        3,
        16,
        {
            "otype": "HashGrid",
            "n_levels": LEVELS,
            "n_features_per_level": FEATURES,
            "log2_hashmap_size": args.log2_hashmap_size,
            "base_resolution": BASE,
            "per_level_scale": math.exp(math.log(FINEST / BASE) / (LEVELS - 1)),
        },
        {"otype": "FullyFusedMLP", "n_neurons": WIDTH, "n_hidden_layers": 1},
    )
)
plain = measure(Plain())
print(
    f"points {args.points} table 2^{args.log2_hashmap_size} threads {torch.get_num_threads()}: "
    f"ours {ours[0]:.3f} s plain {plain[0]:.3f} s, "
    f"{plain[0] / ours[0]:.1f} times; CPU seconds {ours[1]:.3f} and {plain[1]:.3f}, {plain[1] / ours[1]:.1f} times"
)
