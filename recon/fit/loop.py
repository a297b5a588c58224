"""The loop that fits a field to samples of a signal."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from recon.checkpoint import Checkpoint
from recon.console import Reporter, duration
from recon.device import CPU, generator_of
from recon.fields.base import Field, FieldModule
from recon.fit.config import FitConfig, LossName
from recon.fit.run import FitRun
from recon.optimizer import Adam
from recon.progress import stepping

KEPT_CHECKPOINTS = 2


@dataclass(frozen=True)
class Batch:
    """Samples of a signal.

    Attributes:
        points: In [-1, 1]^D. [N, D]
        targets: [N, C]
        neighbors: Of the points, for a NeuRBF field; None: to be searched. int32 [N, K]
        normals: What the gradient of the first value should be at the first M points; None: nothing is known of it. [M, D]
    """

    points: Tensor
    targets: Tensor
    neighbors: Tensor | None
    normals: Tensor | None = None


Draw = Callable[[int], Batch]
"""The batch of a step; the same step always gives the same batch, so that a fit can go on where it stopped."""


def stratified(count: int, batch: int, seed: int, device: torch.device = CPU) -> Callable[[int], Tensor]:
    """Numbers of samples for each step: the row of all samples is cut into equal stretches, a step takes one of each, an epoch all once.

    Args:
        count: Samples.
        batch: About how many a step takes.
        seed: Of the order.
        device: Where the numbers are wanted; they are the same everywhere.
    Returns:
        Step -> rising int64 numbers; the same step always gives the same.
    """
    length = max(math.ceil(count / batch), 1)
    starts = torch.arange(math.ceil(count / length), device=device) * length
    kept: dict[int, tuple[Tensor, list[int]]] = {}

    def ids(step: int) -> Tensor:
        epoch = step // length
        if epoch not in kept:
            kept.clear()
            generator = generator_of(CPU, seed * 1_000_003 + epoch + 2)
            phase = torch.randint(length, starts.shape, generator=generator, device=CPU).to(device)
            kept[epoch] = phase, torch.randperm(length, generator=generator, device=CPU).tolist()
        phase, turns = kept[epoch]
        chosen = starts + (phase + turns[step % length]) % length
        return chosen[chosen < count]

    return ids


def predict_with_gradient(field: Field, batch: Batch) -> tuple[Tensor, Tensor]:
    """Values at all points of a batch, and the gradient of the first value at those with normals. [N, C], [M, D]"""
    assert batch.normals is not None
    count = len(batch.normals)
    near = batch.neighbors
    values, gradient = field.values_and_gradient(batch.points[:count], None if near is None else near[:count])
    rest = field.values(batch.points[count:], None if near is None else near[count:])
    return torch.cat([values, rest]), gradient


def loss_value(name: LossName, predicted: Tensor, wanted: Tensor) -> Tensor:
    """The losses of the papers; see :class:`~recon.fit.config.FitConfig`. "scaled_l2" is what RBFNet's code calls MAPE. Scalar."""
    difference = predicted - wanted
    if name == "l2":
        return (difference * difference).mean()
    if name == "l1":
        return difference.abs().mean()
    if name == "relative_l2":  # the denominator is not differentiated (Instant-NGP)
        return (difference * difference / (predicted.detach() ** 2 + 0.01)).mean()
    if name == "mape":
        return (difference.abs() / (wanted.abs() + 0.01)).mean()
    return (difference * difference / (wanted.abs() + 0.1)).mean()


def optimise(run: FitRun, field: FieldModule, draw: Draw, resumed: Checkpoint | None, reporter: Reporter, started: float) -> None:
    """Fit until ``config.steps``.

    Args:
        run: Where metrics and checkpoints go.
        field: Updated in place.
        draw: Samples of the signal.
        resumed: State to go on from, already loaded into ``field``.
        reporter: Where progress goes.
        started: ``time.perf_counter()`` when work on this signal began: placing functions and drawing the pool count as time of the fit.
    Raises:
        DivergedError: If the loss is not finite; the last checkpoint is kept.
        Interrupted: On Ctrl-C or SIGTERM, after saving a checkpoint.
    """
    config = run.config
    optimizer = Adam(field.parameter_groups())
    step, seconds_before = 0, 0.0
    if resumed is not None:
        optimizer.load(resumed.optimizer)
        step, seconds_before = resumed.step, float(resumed.trainer["seconds"])
    device = torch.device(run.device)
    loss_sum = squared_sum = torch.zeros((), device=device)
    since = step

    def state(step: int, seconds: float) -> Checkpoint:
        return Checkpoint(step, field.state_dict(), optimizer.state, generator_of(CPU, config.seed).get_state(), {"seconds": seconds})

    with stepping(run, config, KEPT_CHECKPOINTS, state, step, seconds_before, started) as steps:
        while step < config.steps:
            batch = draw(step)
            if batch.normals is None:
                predicted = field.values(batch.points, batch.neighbors)
                loss = loss_value(config.loss, predicted, batch.targets)
            else:
                predicted, gradient = predict_with_gradient(field, batch)
                loss = loss_value(config.loss, predicted, batch.targets)
                # the distance, not its square: at sharp edges and between faces the normal jumps and no field can follow
                loss = loss + config.normal_weight * (gradient - batch.normals).norm(dim=1).mean()
            loss.backward()
            optimizer.step(rate(config, step))
            step += 1
            loss_sum = loss_sum + loss.detach()
            squared_sum = squared_sum + (predicted.detach() - batch.targets).square().mean()
            if steps.reports(step):
                value, squared = float(loss_sum) / (step - since), float(squared_sum) / (step - since)
                if not math.isfinite(value):
                    steps.diverged(step, "lr")
                record = {"step": step, "loss": value, "lr": rate(config, step - 1), "seconds": round(steps.seconds(), 2)}
                psnr = -10.0 * math.log10(max(squared, 1e-12))
                run.log_metrics({**record, "psnr": psnr} if config.signal == "image" else {**record, "rms": math.sqrt(squared)})
                figure = f"PSNR {psnr:.2f} dB" if config.signal == "image" else f"RMS {math.sqrt(squared):.3g}"
                text = f"step {step}/{config.steps}  loss {value:.4g}  {figure}  ETA {duration(steps.left(step))}"
                reporter.progress("fit", step / config.steps, text)
                loss_sum = squared_sum = torch.zeros((), device=device)
                since = step
            steps.end(step)


def rate(config: FitConfig, step: int) -> float:
    """Cosine from ``lr`` to ``lr * lr_final``."""
    share = step / max(config.steps, 1)
    return config.lr * (config.lr_final + (1.0 - config.lr_final) * 0.5 * (1.0 + math.cos(math.pi * share)))
