"""Fits of bodies that are known exactly: a ball, a box and a torus, by the fields of radial functions."""

from __future__ import annotations

from pathlib import Path

import pytest
import trimesh

from recon.console import Reporter
from recon.evaluation.surfaces import surface_metrics
from recon.fit import fit as fits

BODIES = {
    "ball": lambda: trimesh.creation.icosphere(6, 1.0),
    "box": lambda: trimesh.creation.box((1.0, 0.7, 0.5)),
    "torus": lambda: trimesh.creation.torus(1.0, 0.4, 256, 128),
}
SETTINGS = ("steps=300", "batch=4096", "pool=40000", "resolution=128", "normal_weight=0.03")
SMALL = {
    "neurbf": ("neurbf.levels=6", "neurbf.grid_features=2", "neurbf.finest_resolution=64", "neurbf.hidden=[32,32]"),
    "rbfnet": ("rbfnet.levels=6", "rbfnet.finest_resolution=64", "rbfnet.neurons=32"),
}


@pytest.mark.parametrize("field", SMALL)
def test_simple_bodies_are_fitted_exactly(field: str, tmp_path: Path, monkeypatch):
    """Inside-IoU above 0.99, and normals within 2 degrees of the true ones, from a mesh of 128 cells."""
    monkeypatch.setattr("recon.fit.shape.EVALUATION_POINTS", 2**16)
    monkeypatch.setattr("recon.evaluation.sdf.normal_errors.__defaults__", (200_000, 0))
    monkeypatch.setattr(surface_metrics, "__kwdefaults__", {**(surface_metrics.__kwdefaults__ or {}), "samples": 2000})
    monkeypatch.setattr("recon.fit.shape.PREVIEW_SIZE", 32)
    found = {}
    for name, make in BODIES.items():
        source = tmp_path / f"{name}.ply"
        make().export(source)
        config = fits.configure(source, field, params=60_000, settings=[*SETTINGS, *SMALL[field]])  # pyright: ignore[reportArgumentType]
        results = fits.fit(fits.start(source, config, tmp_path / "runs"), Reporter(quiet=True))
        found[name] = (results["iou_inside"], results["nae_deg"])
    assert min(iou for iou, _ in found.values()) > 0.99, found
    assert max(angle for _, angle in found.values()) < 2.0, found
