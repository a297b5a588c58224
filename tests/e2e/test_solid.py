"""From photographs to a solid in one command: three stages, each a run of its own, and what is left of them when the last one fails."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from recon.cli import solids
from recon.cli.main import main
from recon.config.files import with_overrides
from tests.tiny import TINY_SETTINGS, write_blender


def test_surface_wireframe_and_solid_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """A blob after twelve steps: both runs are whole, and the solid is refused with its reason or is an honest open shell."""
    usual = solids.wireframe_config
    monkeypatch.setattr(solids, "wireframe_config", lambda *given: with_overrides(replace(usual(*given), seed=0), TINY_SETTINGS))
    monkeypatch.chdir(tmp_path)
    write_blender(tmp_path / "DATA")
    code: object = 0
    try:
        main(["reconstruct", "DATA", "--method", "solid", "--name", "ball", "--set", *TINY_SETTINGS])
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr().err
    for stage in ("1 of 3, the surface", "2 of 3, the wireframe", "3 of 3, the solid"):
        assert stage in said
    (surface,) = Path("runs").glob("*/volsdf-*/ball")
    (curves,) = Path("runs").glob("*/nef-*/ball-curves")
    assert (surface / "exports" / "mesh.glb").is_file()
    assert (curves / "exports" / "curves.json").is_file()
    if code == 0:
        assert json.loads((surface / "solid" / "report.json").read_text())["status"] in ("solid", "open_shell")
    else:
        assert code == 3
        assert "no solid could be made of it" in said
        assert not (surface / "solid").exists()
