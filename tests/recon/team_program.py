"""What every process of a team runs in test_team.py: two methods trained a little, then one of them for some steps more.

torchrun --nproc-per-node 2 tests/recon/team_program.py FOLDER
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from recon import pipeline
from recon.config.files import with_overrides
from recon.config.presets import preset_config
from recon.config.values import RunConfig
from recon.console import Reporter
from recon.runs import open_run
from recon.team import gathered
from tests import tiny

METHODS = ("radiance", "volsdf")
STEPS, LONGER = 5, 7
QUIET = Reporter(quiet=True)


SETTINGS = (
    *tiny.TINY_SETTINGS,
    *(f"train.steps={STEPS}", "train.log_every=1", "train.occupancy_every=2", "train.checkpoint_every=5", "train.max_rays=129"),
)


def configured(method: Any) -> RunConfig:
    return with_overrides(preset_config(method, "hashgrid", "fast"), SETTINGS)


def main(folder: Path) -> None:
    scene = tiny.tiny_scene("alpha")
    with gathered("cpu") as team:
        for method in METHODS:
            with team.own_folder(folder / method) as out:
                run = pipeline.start(scene, "tiny", configured(method), out)
                pipeline.fit(run, scene, QUIET, team=team)
        with team.lead_first():
            found = next((folder / METHODS[0]).glob("*/*/*"))
        with team.own_run(open_run(found)) as run:
            longer = replace(run, config=with_overrides(run.config, (f"train.steps={LONGER}",)))
            pipeline.fit(longer, scene, QUIET, team=team)
    (folder / f"rank{team.rank}.txt").write_text(str(run.folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
