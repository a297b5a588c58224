"""A representation of your own under a method of the program: random Fourier features with a linear layer, as a radiance field.

    python examples/own_field.py DATA [STEPS]

A field is asked for values at points (and for their gradient, where the method needs one); what it does not have, levels or functions
that are placed, its base class answers. To make it a ``--field`` of the command line, give it settings in ``recon/config/values.py`` and a
line in the table of ``recon/fields/make.py``.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from recon import pipeline
from recon.config.presets import preset_config
from recon.console import Reporter
from recon.fields.base import FieldModule, ParameterGroup
from recon.methods.density import outputs_of
from recon.methods.radiance import Radiance
from recon.opening import open_data
from recon.rendering.rays import PixelBank
from recon.train import train


class FourierField(FieldModule):
    """``W [sin(B x), cos(B x)] + b`` with fixed random frequencies B (Tancik et al. 2020)."""

    def __init__(self, outputs: int, features: int, deviation: float, generator: torch.Generator):
        super().__init__()
        self.outputs = outputs
        self.register_buffer("frequencies", deviation * torch.randn(3, features, generator=generator))
        self.linear = nn.Linear(2 * features, outputs)
        nn.init.normal_(self.linear.weight, std=features**-0.5, generator=generator)

    def values(self, points: Tensor, neighbors: Tensor | None = None) -> Tensor:
        angles = points @ self.frequencies
        return self.linear(torch.cat([angles.sin(), angles.cos()], dim=-1))

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(name, parameter) for name, parameter in self.named_parameters()]


def main(data: str, steps: int = 500) -> None:
    config = preset_config("radiance", None, "fast")
    config = replace(config, train=replace(config.train, steps=steps, samples_per_step=8192))
    scene = open_data(data, config)
    if scene.background == "unknown":
        sys.exit("this example wants pictures with alpha, masks or one colour around the object: it learns no background")
    generator = torch.Generator().manual_seed(config.seed)
    field = FourierField(outputs_of(config.radiance.head, config.radiance.features), 128, 8.0, generator)
    method = Radiance(config.radiance, field, scene.background, None, config.train.occupancy_resolution, generator)
    with Reporter() as reporter:
        run = pipeline.start(scene, data, config, Path("runs"))
        train(run, method, PixelBank(scene), None, reporter.training)
    print(f"{run.folder}: {sum(p.numel() for p in method.parameters())} trained numbers; metrics.jsonl has the PSNR of every report")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
