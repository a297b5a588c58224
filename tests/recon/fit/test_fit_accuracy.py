"""Fits of bodies that are known exactly by the fields of radial functions: one with sharp edges, one with a hole. A fit takes 45 s."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import trimesh

from recon.console import Reporter
from recon.evaluation.sdf import normal_errors
from recon.evaluation.surfaces import surface_metrics
from recon.fit import fit as fits
from recon.fit.truth import read_shape
from recon.surface.extract import extract_mesh

BODIES = {
    "neurbf": lambda: trimesh.creation.box((1.0, 0.7, 0.5)),
    "rbfnet": lambda: trimesh.creation.torus(1.0, 0.4, 256, 128),
}
SETTINGS = ("batch=4096", "pool=200000", "resolution=128", "normal_weight=0.2")
SMALL = {
    "neurbf": ("steps=400", "neurbf.levels=6", "neurbf.grid_features=2", "neurbf.finest_resolution=64", "neurbf.hidden=[32,32]"),
    "rbfnet": ("steps=600", "lr=5e-3", "rbfnet.levels=4", "rbfnet.finest_resolution=48"),
}


@pytest.mark.parametrize("field", SMALL)
def test_a_simple_body_is_fitted_exactly(field: str, tmp_path: Path, monkeypatch):
    """Inside-IoU above 0.99, and normals within 2 degrees of the true ones beyond what 128 cells make of the exact distance: they cut off
    a box's edges."""
    monkeypatch.setattr("recon.fit.shape.EVALUATION_POINTS", 2**16)
    monkeypatch.setattr("recon.evaluation.sdf.normal_errors.__defaults__", (200_000, 0))
    monkeypatch.setattr(surface_metrics, "__kwdefaults__", {**(surface_metrics.__kwdefaults__ or {}), "samples": 2000})
    monkeypatch.setattr("recon.fit.shape.PREVIEW_SIZE", 32)
    source = tmp_path / "body.ply"
    BODIES[field]().export(source)
    config = fits.configure(source, field, params=250_000, settings=[*SETTINGS, *SMALL[field]])  # pyright: ignore[reportArgumentType]
    results = fits.fit(fits.start(source, config, tmp_path / "runs"), Reporter(quiet=True))
    assert results["iou_inside"] > 0.99
    assert results["nae_deg"] - extraction_error(source) < 2.0


def extraction_error(source: Path) -> float:
    """NAE of the exact distance itself, extracted with 128 cells."""
    shape = read_shape(source)
    assert shape.mesh is not None
    mesh = extract_mesh(lambda p: torch.from_numpy(shape.signed_distance(p.double().numpy())).float(), resolution=128, sphere_radius=None)
    return normal_errors(mesh, shape.mesh).nae_deg
