"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from recon.checkpoint import Checkpoint, settle_checkpoints
from recon.device import CPU, generator_of, reseeds, step_seed
from recon.methods.base import Losses, Method, Pixels
from recon.optimizer import Adam, learning_rate
from recon.progress import stepping
from recon.runs import Run
from recon.team import ALONE, Team

START_RAYS = 1024
TRAINER_NUMBERS = ("rays_per_step", "seconds")
"""What a checkpoint holds of the loop."""


@dataclass(frozen=True)
class Progress:
    """What the progress line shows; figures are means since the last report."""

    step: int
    steps: int
    terms: dict[str, float]
    figures: dict[str, float]
    psnr: float
    rays_per_second: float
    samples_per_second: float
    seconds_left: float


class Watcher(Protocol):
    """Somebody who looks at a run while it trains: the live viewer."""

    def began(self, method: Method, step: int) -> None:
        """Training starts, or goes on from ``step``. The method may be rendered whenever ``between_steps`` lets it be."""
        ...

    def between_steps(self, step: int, stopping: Callable[[], bool]) -> bool:
        """Called in the training thread after every step; nothing changes the method until it returns. It may wait, but not for long
        once ``stopping()`` is true. True asks for the run's end."""
        ...

    def report(self, progress: Progress) -> None:
        """Called every ``log_every`` steps."""
        ...

    def ended(self) -> None:
        """Training is over, finished or not; the method does not change any more."""
        ...


def train(
    run: Run,
    method: Method,
    pixels: Pixels,
    resumed: Checkpoint | None,
    report: Callable[[Progress], None],
    between_steps: Callable[[int, Callable[[], bool]], bool] | None = None,
    team: Team = ALONE,
) -> None:
    """Optimise a method on the training pixels until ``config.train.steps``.

    Deterministic on the CPU: the same configuration, data and thread count give the same bits, also when a run was interrupted and resumed.
    On a GPU the random numbers are the same each time (:func:`recon.device.reseeds`), and sums differ in their last bits. A run may go on
    on another device; its random numbers are others from there on.

    Args:
        run: Where metrics and checkpoints go.
        method: Updated in place.
        pixels: The training views.
        resumed: State to go on from, already loaded into ``method``.
        report: Called every ``log_every`` steps.
        between_steps: :meth:`Watcher.between_steps`; the time it takes does not count as training.
        team: The processes that share the rays of every step. Each draws with random numbers of its own; those of the first are what one
            process alone would have.
    Raises:
        DivergedError: If the loss is not finite; the last checkpoint is kept.
        Interrupted: On Ctrl-C or SIGTERM, after saving a checkpoint.
    """
    config = run.config.train
    optimizer = Adam(method.parameter_groups(), config.beta2, config.eps)
    device = method.device
    anew = reseeds(device) or team.size > 1
    generator = generator_of(device, run.config.seed + 1)
    step, rays_per_step, seconds_before = 0, START_RAYS, 0.0
    if resumed is not None:
        settle_checkpoints(run.checkpoints, resumed.step, config.keep_checkpoints)
        optimizer.load(resumed.optimizer)
        if not anew:
            generator.set_state(resumed.generator)
        step, rays_per_step, seconds_before = resumed.step, resumed.trainer["rays_per_step"], resumed.trainer["seconds"]

    def state(step: int, seconds: float) -> Checkpoint:
        # Of a run that does not keep one stream, the state from which it would go on where such streams are kept.
        source = generator_of(CPU, step_seed(run.config.seed, step)) if anew else generator
        trainer = {"rays_per_step": rays_per_step, "seconds": seconds}
        return Checkpoint(step, method.state_dict(), optimizer.state, source.get_state(), trainer)

    meter = _Meter(time.perf_counter())
    method.set_progress(step / config.steps)  # also of a run that has all its steps: what is made of it next needs its schedules' end
    with stepping(run, config, config.keep_checkpoints, state, step, seconds_before) as steps:
        while step < config.steps:
            if anew:
                generator.manual_seed(step_seed(run.config.seed, step))
            if step % config.occupancy_every == 0:
                method.refresh_occupancy(step, generator)
                team.agree(method)
            if not team.lead:
                generator.manual_seed(step_seed(step_seed(run.config.seed, step), team.rank))
            rays, targets = pixels.draw(team.share(rays_per_step), generator)
            losses, drawn = team.mean(method.losses(rays, targets, generator), len(rays))
            # Both: where a distance is not a number there are no samples, and so no colour error.
            if not math.isfinite(losses.squared_error + losses.value):
                steps.diverged(step, "train.lr")
            losses.total.backward()
            team.average(optimizer.groups)
            optimizer.step(learning_rate(config, step))

            step += 1
            method.set_progress(step / config.steps)  # before the checkpoint: it may clamp a parameter
            ask_to_stop = False
            if between_steps is not None:
                waiting_since = time.perf_counter()
                ask_to_stop = between_steps(step, steps.stop)
                waited = time.perf_counter() - waiting_since
                steps.skip(waited)
                meter.skip(waited)
            meter.add(losses, drawn)
            rays_per_step = _adapted(rays_per_step, losses.samples, config.samples_per_step, config.max_rays)
            if steps.reports(step):
                progress = meter.report(step, config.steps, steps.left(step))
                run.log_metrics(_record(progress, rays_per_step, learning_rate(config, step), steps.seconds()))
                report(progress)
            steps.end(step, team.any(steps.stop() or ask_to_stop))


def _adapted(rays: int, samples: int, wanted_samples: int, most: int) -> int:
    """Rays for the next step so that the samples approach the target; smoothed, so that one odd batch does not matter."""
    ideal = rays * wanted_samples / max(samples, 1)
    return int(min(max(0.8 * rays + 0.2 * min(ideal, 2.0 * rays), 256), most))


def _record(progress: Progress, rays: int, lr: float, seconds: float) -> dict[str, Any]:
    return {
        "step": progress.step,
        **{f"loss/{k}": v for k, v in progress.terms.items()},
        **progress.figures,
        "psnr": progress.psnr,
        "rays_per_step": rays,
        "rays_per_second": round(progress.rays_per_second),
        "samples_per_second": round(progress.samples_per_second),
        "lr": lr,
        "seconds": round(seconds, 2),
    }


class _Meter:
    """Means of what happened since the last report."""

    def __init__(self, now: float):
        self._reset(now)

    def _reset(self, now: float) -> None:
        self.since, self.count, self.rays, self.samples, self.squared = now, 0, 0, 0, 0.0
        self.terms: dict[str, float] = {}
        self.figures: dict[str, float] = {}

    def skip(self, seconds: float) -> None:
        """Time that was not spent on training."""
        self.since += seconds

    def add(self, losses: Losses, rays: int) -> None:
        self.count += 1
        self.rays += rays
        self.samples += losses.samples
        self.squared += losses.squared_error
        for sums, numbers in ((self.terms, losses.terms), (self.figures, losses.figures)):
            for name, value in numbers.items():
                sums[name] = sums.get(name, 0.0) + value

    def report(self, step: int, steps: int, left: float) -> Progress:
        now = time.perf_counter()
        seconds, n = max(now - self.since, 1e-9), max(self.count, 1)
        psnr = -10.0 * math.log10(max(self.squared / n, 1e-12))
        terms, figures = ({k: v / n for k, v in sums.items()} for sums in (self.terms, self.figures))
        progress = Progress(step, steps, terms, figures, psnr, self.rays / seconds, self.samples / seconds, left)
        self._reset(now)
        return progress
