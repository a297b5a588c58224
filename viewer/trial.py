"""Trials of the live viewer that take minutes: ``python -m viewer.trial steady|slowdown``; see :func:`main`. For a quiet machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, urlsplit

import msgspec.msgpack
import numpy as np
import tyro
import viser
import websockets
import zstandard

from recon import pipeline
from recon.config.files import with_overrides
from recon.config.presets import preset_config
from recon.console import Reporter
from recon.data.scene import Scene
from recon.errors import Interrupted
from viewer.app import Viewer
from viewer.guard import make_access
from viewer.layers import quaternion
from viewer.subject import data_subject

SENDS_PER_SECOND = 15.0


@dataclass
class ScriptedVisitor:
    """Moves a camera as a person does, at the level of the protocol: no browser competes for the cores.

    Attributes:
        address: Printed by the viewer, with the token.
        moves: Seconds of moving, then seconds of rest, and again.
        pictures: Received so far.
        moving_pictures: Those while it moved; their times apart give the frame rate.
        largest: Bytes of the largest message received.
    """

    address: str
    moves: tuple[float, float] = (4.0, 4.0)
    pictures: int = 0
    moving_pictures: int = 0
    moving_seconds: float = 0.0
    largest: int = 0
    failure: str | None = None

    @contextlib.contextmanager
    def present(self) -> Iterator[ScriptedVisitor]:
        """Visit in a thread of its own for as long as the context lasts."""
        leave = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._visit(leave)), name="visitor")
        thread.start()
        try:
            yield self
        finally:
            leave.set()
            thread.join(timeout=30)

    async def _visit(self, leave: threading.Event) -> None:
        parts = urlsplit(self.address)
        assert parts.hostname is not None
        assert parts.port is not None
        access = make_access(parts.hostname, parts.port, parse_qs(parts.query)["token"][0])
        connection = websockets.connect(
            f"ws://{parts.netloc}/",
            origin=websockets.Origin(f"http://{parts.netloc}"),
            additional_headers={"Cookie": f"{access.cookie}={access.cookie_value}"},
            subprotocols=[websockets.Subprotocol(f"viser-v{viser.__version__}")],
            max_size=None,
        )
        try:
            async with connection as page:
                state = {"moving": False}
                receiving = asyncio.create_task(self._receive(page, state))
                began = time.monotonic()
                while not leave.is_set() and not receiving.done():
                    now = time.monotonic() - began
                    moving = now % sum(self.moves) < self.moves[0]
                    if moving or not state["moving"]:
                        await page.send(camera_message(0.5 * now))
                    if moving and state["moving"]:
                        self.moving_seconds += 1.0 / SENDS_PER_SECOND
                    state["moving"] = moving
                    # At rest nothing is sent: the picture is refined until the next move.
                    await asyncio.sleep(1.0 / SENDS_PER_SECOND if moving else 0.1)
                    while not moving and not leave.is_set() and not receiving.done():
                        await asyncio.sleep(0.1)
                        moving = (time.monotonic() - began) % sum(self.moves) < self.moves[0]
                receiving.cancel()
        except (OSError, websockets.WebSocketException) as error:
            self.failure = str(error)

    async def _receive(self, page: Any, state: dict[str, bool]) -> None:
        unpack = zstandard.ZstdDecompressor()
        while True:
            data = await page.recv()
            self.largest = max(self.largest, len(data))
            packed = int.from_bytes(data[8:16], "little")
            messages = msgspec.msgpack.decode(unpack.decompress(data[16 : 16 + packed]))["messages"]
            count = sum(m["type"] == "BackgroundImageMessage" for m in messages)
            self.pictures += count
            self.moving_pictures += count if state["moving"] else 0


def camera_message(angle: float) -> bytes:
    """What a page says of its camera, 2.6 scene radii from the centre."""
    around = np.array([np.cos(angle), np.sin(angle), 0.4])
    position = 2.6 * around / np.linalg.norm(around)
    z = -position / np.linalg.norm(position)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    pose = np.stack([x, np.cross(z, x), z], axis=1)
    message = {
        "type": "ViewerCameraMessage",
        "wxyz": tuple(quaternion(pose).tolist()),
        "position": tuple(position.tolist()),
        "fov": 0.87,
        "near": 0.01,
        "far": 1000.0,
        "image_height": 800,
        "image_width": 1200,
        "look_at": (0.0, 0.0, 0.0),
        "up_direction": (0.0, 0.0, 1.0),
    }
    return msgspec.msgpack.encode(message)


def resident_mib() -> float:
    """Memory of this process now, MiB; the largest so far where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True)
class Steady:
    """Look at a run for a while: memory, threads and pictures a second, a line every half minute."""

    run: tyro.conf.Positional[Path]
    minutes: float = 30.0


@dataclass(frozen=True)
class Slowdown:
    """Train twice from the start, without and with one visitor, and compare the seconds; alternated, so that drift is seen."""

    data: tyro.conf.Positional[str] = "scenes:bracket"
    steps: int = 400
    rounds: int = 2
    method: Literal["volsdf", "radiance"] = "volsdf"


def steady(options: Steady) -> dict[str, Any]:
    """See :class:`Steady`."""
    from recon.runs import open_run
    from viewer.subject import run_subject

    viewer = Viewer(run_subject(open_run(options.run), None), port=0)
    lines = []
    try:
        with ScriptedVisitor(viewer.address).present() as visitor:
            began = time.monotonic()
            while time.monotonic() - began < 60 * options.minutes and visitor.failure is None:
                time.sleep(min(30.0, 60 * options.minutes))
                lines.append(
                    {
                        "minutes": round((time.monotonic() - began) / 60, 2),
                        "resident_mib": round(resident_mib(), 1),
                        "threads": threading.active_count(),
                        "pictures": visitor.pictures,
                        "moving_pictures_per_second": round(visitor.moving_pictures / max(visitor.moving_seconds, 1e-9), 1),
                        "rays_per_second": round(viewer.loop.rays_per_second),
                    }
                )
                _say(json.dumps(lines[-1]))
            failure = visitor.failure
    finally:
        viewer.close()
    half = [line["resident_mib"] for line in lines[len(lines) // 2 :]]
    return {"failure": failure, "growth_in_second_half_mib": round(half[-1] - half[0], 1), "last": lines[-1]}


def slowdown(options: Slowdown) -> dict[str, Any]:
    """See :class:`Slowdown`."""
    from recon.opening import open_data

    settings = [f"train.steps={options.steps}", f"train.checkpoint_every={options.steps}"]
    config = with_overrides(preset_config(options.method, "hashgrid", "fast"), settings)
    scene = open_data(options.data, config)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(options.rounds):
            alone, _ = _train(scene, options.data, config, Path(folder), watched=False)
            watched, pictures = _train(scene, options.data, config, Path(folder), watched=True)
            rows.append({"alone_s": round(alone, 2), "with_visitor_s": round(watched, 2), "pictures": pictures})
            _say(f"round {i + 1}: {json.dumps(rows[-1])}")
    alone, watched = (sum(r[k] for r in rows) for k in ("alone_s", "with_visitor_s"))
    return {"rounds": rows, "slower_by_percent": round(100 * (watched / alone - 1), 1)}


def _train(scene: Scene, source: str, config: Any, folder: Path, watched: bool) -> tuple[float, int]:
    """Seconds on the clock between the first step and the last, and pictures shown."""
    run = pipeline.start(scene, source, config, folder)
    reporter = Reporter(quiet=True)
    with contextlib.ExitStack() as stack:
        viewer = visitor = None
        if watched:
            viewer = Viewer(data_subject(scene, source, run), port=0)
            stack.callback(viewer.close)
            visitor = stack.enter_context(ScriptedVisitor(viewer.address).present())
        clock = _Clock(viewer)
        pipeline.fit(run, scene, reporter, clock)
        if visitor is not None and visitor.failure is not None:
            raise Interrupted(f"the visitor lost the connection: {visitor.failure}")
        return clock.seconds, 0 if visitor is None else visitor.pictures


class _Clock:
    """A watcher that notes when training began and ended, and hands everything on to the viewer."""

    def __init__(self, viewer: Viewer | None):
        self.viewer, self.seconds, self._began = viewer, 0.0, 0.0

    def began(self, method: Any, step: int) -> None:
        if self.viewer is not None:
            self.viewer.began(method, step)
        self._began = time.perf_counter()

    def between_steps(self, step: int, stopping: Callable[[], bool]) -> bool:
        return self.viewer is not None and self.viewer.between_steps(step, stopping)

    def report(self, progress: Any) -> None:
        if self.viewer is not None:
            self.viewer.report(progress)

    def ended(self) -> None:
        self.seconds = time.perf_counter() - self._began
        if self.viewer is not None:
            self.viewer.ended()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """``python -m viewer.trial steady RUN --minutes 30`` and ``python -m viewer.trial slowdown scenes:bracket``."""
    command = tyro.cli(
        Annotated[Steady, tyro.conf.subcommand("steady")] | Annotated[Slowdown, tyro.conf.subcommand("slowdown")],  # pyright: ignore[reportArgumentType]
        description=__doc__,
    )
    _say(json.dumps(steady(command) if isinstance(command, Steady) else slowdown(command), indent=1))


if __name__ == "__main__":
    main()
