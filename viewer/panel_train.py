"""The panels "Train" (pause, stop, plots, speed) and "Metrics" (what the evaluation said)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import viser.uplot

from recon.console import duration
from recon.results.evaluation import summary_lines
from recon.results.figures import Results
from recon.runs import read_status
from recon.system.files import read_records
from recon.train import Progress
from viewer.markdown import plain

if TYPE_CHECKING:
    from viewer.app import Viewer

MOST_POINTS = 400
"""Of a plot; longer histories are thinned out."""


class TrainPanel:
    """Controls for a run that is trained in this process; its history for every run."""

    def __init__(self, viewer: Viewer):
        self._viewer = viewer
        gui = viewer.server.viser.gui
        self._text = gui.add_markdown("")
        self._step = gui.add_markdown("")
        self._bar = gui.add_progress_bar(0.0, visible=False)
        self._pause = gui.add_button("Pause", visible=False, hint="Hold training after the current step; the view gets all the time")
        self._stop = gui.add_button("Stop", visible=False, color="red", hint="Save a checkpoint and end the run; recon resume goes on")
        self._share = gui.add_slider(
            "share for the view, %", 5, 50, 5, round(100 * viewer.gate.share / 5) * 5, visible=False, hint="Of the time while training"
        )
        self._loss = _plot(gui, "loss", "#b73779")
        self._psnr = _plot(gui, "PSNR, dB", "#21918c")
        self._pause.on_click(lambda _: self._pause_clicked())
        self._stop.on_click(lambda _: self._stop_clicked())
        self._share.on_update(lambda _: self._share_changed())
        self.refresh()

    def refresh(self) -> None:
        """Training began, was paused, or ended."""
        gate = self._viewer.gate
        for control in (self._pause, self._stop, self._share, self._bar):
            control.visible = gate.training
        self._pause.label = "Resume" if gate.paused else "Pause"
        self.tick()

    def report(self, p: Progress) -> None:
        """Figures of a training step."""
        self._bar.value = 100.0 * p.step / p.steps
        self._text.content = (
            f"PSNR {p.psnr:.2f} dB, {p.rays_per_second / 1e3:.1f} k rays/s, {p.samples_per_second / 1e3:.0f} k samples/s, "
            f"{duration(p.seconds_left)} left"
        )

    def tick(self) -> None:
        """The step counter, as ``status.json`` and this process know it."""
        run, gate = self._viewer.subject.run, self._viewer.gate
        if run is None:
            return
        step = self._viewer.step
        state = "paused" if gate.paused and gate.training else "training" if gate.training else None
        if state is None:
            state, known = read_status(run.folder)
            step = step if step >= 0 else known
        text = plain(f"step {step} of {run.config.train.steps}, {state}")
        if self._step.content != text:
            self._step.content = text

    def history(self, path: Path) -> None:
        """Plots from ``metrics.jsonl``."""
        rows = read_records(path)
        if not rows:
            return
        rows = rows[:: max(1, len(rows) // MOST_POINTS)]
        steps = np.array([r["step"] for r in rows], np.float64)
        losses = np.array([sum(v for k, v in r.items() if k.startswith("loss/")) for r in rows], np.float64)
        psnr = np.array([r["psnr"] for r in rows], np.float64)
        for plot, values in ((self._loss, losses), (self._psnr, psnr)):
            plot.data = (steps, values)
            plot.visible = len(rows) > 1

    def _pause_clicked(self) -> None:
        gate = self._viewer.gate
        gate.pause(not gate.paused)
        self.refresh()
        self._viewer.redraw()

    def _stop_clicked(self) -> None:
        self._viewer.gate.stop()
        self._text.content = "stopping: a checkpoint is being saved"

    def _share_changed(self) -> None:
        self._viewer.gate.share = self._share.value / 100


class MetricsPanel:
    """What ``eval/results.json`` says."""

    def __init__(self, viewer: Viewer):
        self._text = viewer.server.viser.gui.add_markdown("Not evaluated yet.")

    def show(self, results: Results) -> None:
        lines = [f"- {plain(line)}" for line in summary_lines(results)]
        if results.training_seconds is not None:
            lines.append(f"- trained for {duration(results.training_seconds)}")
        if results.images is not None and results.images.per_view:
            lines += ["", "| view | PSNR, dB | SSIM |", "|---|---|---|"]
            lines += [f"| {plain(v.view)} | {_number(v.psnr, 2)} | {_number(v.ssim, 4)} |" for v in results.images.per_view]
        self._text.content = "\n".join(lines)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _plot(gui: Any, label: str, color: str) -> Any:
    none = np.zeros(1)
    return gui.add_uplot(
        (none, none),
        (viser.uplot.Series(label="step"), viser.uplot.Series(label=label, stroke=color, width=2)),
        scales={"x": viser.uplot.Scale(time=False)},
        title=label,
        aspect=2.2,
        visible=False,
    )
