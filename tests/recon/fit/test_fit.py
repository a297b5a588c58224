"""Fits of small pictures and shapes: they learn, go on where they stopped, and say the same when loaded again."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

import recon
from recon.config.files import with_overrides
from recon.config.presets import preset_config
from recon.console import Reporter
from recon.errors import DataError, DivergedError, Interrupted, UsageError
from recon.fields.make import FieldUse, sized
from recon.fit import fit as fits
from recon.fit import shape
from recon.fit.build import build_field
from recon.fit.config import fit_preset, parse_count
from recon.fit.image import cached_neighbors, place_functions, render, sampler, squared_error
from recon.fit.loop import loss_value, predict_with_gradient, rate, stratified
from recon.fit.raster import detail, read_raster, shown, write_raster
from recon.fit.run import open_fit
from recon.fit.shape import make_pool
from recon.fit.truth import read_shape
from recon.optimizer import Adam
from tests.tiny import TINY_SETTINGS

QUIET = Reporter(quiet=True)
FIELDS = ("hashgrid", "neurbf", "rbfnet", "mlp")


def picture(path: Path, width: int = 48, height: int = 32, channels: int = 3) -> Path:
    """Waves with an edge through them."""
    y, x = np.mgrid[:height, :width] / height
    values = np.stack([0.5 + 0.4 * np.sin(6 * x + k) * np.cos(5 * y) - 0.2 * (x > y) for k in range(channels)], -1)
    image = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(image[..., 0] if channels == 1 else image).save(path)
    return path


def ball(path: Path) -> Path:
    mesh = trimesh.creation.icosphere(3, 3.0)
    mesh.apply_translation([10.0, 0.0, -2.0])
    mesh.export(path)
    return path


SETTINGS = ("mlp.width=32", "mlp.depth=3", "mlp.skip=2", "mlp.frequencies=3", "log_every=5", "pool=6000", "resolution=24")


def start(source: Path, field: str, out: Path, *settings: str, params: int = 12_000, **more):
    config = fits.configure(source, field, params=params, settings=[*SETTINGS, *settings], **more)  # pyright: ignore[reportArgumentType]
    return fits.start(source, config, out)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("kind", ["image", "sdf"])
def test_every_field_fits_pictures_and_shapes(kind: str, field: str, tmp_path: Path, monkeypatch):
    """The loss falls, results are finite, and the files are there; loaded again, the same figures come out bit for bit."""
    monkeypatch.setattr("recon.fit.shape.EVALUATION_POINTS", 4096)
    monkeypatch.setattr("recon.evaluation.sdf.normal_errors.__defaults__", (2000, 0))
    monkeypatch.setattr("recon.evaluation.surfaces.surface_metrics.__kwdefaults__", {**_metric_defaults(), "samples": 2000})
    monkeypatch.setattr("recon.fit.shape.PREVIEW_SIZE", 32)
    source = picture(tmp_path / "p.png") if kind == "image" else ball(tmp_path / "b.obj")
    run = start(source, field, tmp_path / "runs", "steps=40", "batch=512", params=30_000 if kind == "sdf" else 12_000)
    first = fits.fit(run, QUIET)
    rows = run.metrics()
    assert rows[-1]["loss"] < 0.85 * rows[0]["loss"]
    assert first["trained_numbers"] <= run.config.params
    again = fits.evaluate(open_fit(run.folder), QUIET)
    for key in ("seconds_to_render", "seconds_to_extract"):
        first.pop(key, None), again.pop(key, None)
    assert first == again
    names = ("fitted.png", "error.png", "crops.png", "psnr.png") if kind == "image" else ("mesh.ply", "preview.png")
    assert all((run.folder / n).is_file() for n in names if kind == "image" or "nae_deg" in first)
    assert json.loads((run.folder / "eval" / "results.json").read_text())["signal"] == kind


def _metric_defaults():
    from recon.evaluation.surfaces import surface_metrics

    return dict(surface_metrics.__kwdefaults__)


class StopAt(Reporter):
    """Sends Ctrl-C to this process when a fit reaches a step."""

    def __init__(self, text: str):
        super().__init__(quiet=True)
        self.text = text

    def progress(self, stage: str, share: float, text: str) -> None:
        if stage == "fit" and text.startswith(self.text):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("field", ["neurbf", "rbfnet"])
def test_interrupted_and_resumed_equals_uninterrupted(field: str, tmp_path: Path):
    source = picture(tmp_path / "p.png")
    whole = start(source, field, tmp_path / "a", "steps=20", "batch=256")
    fits.fit(whole, QUIET)
    parts = start(source, field, tmp_path / "b", "steps=20", "batch=256")
    with pytest.raises(Interrupted):
        fits.fit(parts, StopAt("step 10/"))
    assert json.loads((parts.folder / "status.json").read_text())["state"] == "interrupted"
    fits.fit(parts, QUIET)
    a, b = (fits.loaded_field(run, QUIET).state_dict() for run in (whole, parts))
    assert [k for k in a if not torch.equal(a[k], b[k])] == []
    assert (whole.folder / "fitted.png").read_bytes() == (parts.folder / "fitted.png").read_bytes()


def test_changed_pictures_are_refused(tmp_path: Path):
    source = picture(tmp_path / "p.png")
    run = start(source, "rbfnet", tmp_path / "runs", "steps=5")
    fits.fit(run, QUIET)
    picture(source, width=64)
    with pytest.raises(DataError, match="changed"):
        fits.evaluate(run, QUIET)


def test_a_loss_that_is_not_finite_stops_the_fit(tmp_path: Path):
    run = start(picture(tmp_path / "p.png"), "rbfnet", tmp_path / "runs", "steps=20", "lr=1e30")
    with pytest.raises(DivergedError):
        fits.fit(run, QUIET)


def test_a_loaded_picture_answers_at_pixels(tmp_path: Path):
    """`recon.load(run).query`: colours at pixel centres are those of the fitted picture; the gradient is per pixel."""
    smooth = ("neurbf.taper=true", "neurbf.frequencies=[1,8]", "neurbf.trunk_frequencies=null")  # else no difference is small enough
    run = start(picture(tmp_path / "p.png"), "neurbf", tmp_path / "runs", "steps=30", *smooth)
    fits.fit(run, QUIET)
    loaded = recon.load(run.folder)
    assert loaded.kind == "image"
    fitted = np.asarray(Image.open(run.folder / "fitted.png"), np.float64) / 255
    rows, columns = np.mgrid[:32, :48]
    found = loaded.query(np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], 1)).values
    np.testing.assert_allclose(np.clip(found, 0, 1), fitted.reshape(-1, 3), atol=0.51 / 255)
    _check_gradient(loaded, np.random.default_rng(0).uniform([2, 2], [46, 30], (200, 2)), 2e-3)
    with pytest.raises(UsageError, match="outside"):
        loaded.query(np.array([[49.0, 3.0]]))
    with pytest.raises(UsageError, match="shape"):
        loaded.query(np.zeros((3, 3)))
    assert loaded.query(np.zeros((0, 2)), gradient=True).values.shape[0] == 0


def test_a_loaded_shape_answers_in_its_own_unit(tmp_path: Path, monkeypatch):
    """World points in, world distances out: the field's own values times the scale, and a gradient without unit."""
    monkeypatch.setattr("recon.fit.fit.evaluate", lambda run, reporter: {})
    run = start(ball(tmp_path / "b.obj"), "rbfnet", tmp_path / "runs", "steps=20", params=30_000)
    fits.fit(run, QUIET)
    loaded, field = recon.load(run.folder), fits.loaded_field(run, QUIET)
    scene = torch.rand(300, 3, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    scale = 3.0 / 0.99
    points = np.array([10.0, 0.0, -2.0]) + scale * scene.double().numpy()
    found = loaded.query(points, gradient=True)
    values, gradient = field.values_and_gradient(scene)
    assert loaded.kind == "signed distance"
    assert gradient is not None
    np.testing.assert_allclose(found.values, scale * values.detach().numpy(), atol=1e-4)
    assert found.gradient is not None
    close = np.abs(found.gradient - gradient.detach().numpy()).max(1) < 1e-2 * float(gradient.detach().abs().mean())
    assert close.mean() > 0.98  # rounding moves a few points over a face of a grid cell


def _check_gradient(loaded, points: np.ndarray, h: float) -> None:
    gradient = loaded.query(points, gradient=True).gradient
    for axis in range(points.shape[1]):
        step = h * np.eye(points.shape[1])[axis]
        slope = (loaded.query(points + step).values[:, 0] - loaded.query(points - step).values[:, 0]) / (2 * h)
        error = np.abs(slope - gradient[:, axis])
        assert np.median(error) < 0.05 * np.abs(slope).mean() + 1e-4


@pytest.mark.parametrize("method", ["volsdf", "radiance", "nef"])
def test_a_loaded_reconstruction_answers_in_world_units(method: str, tmp_path: Path):
    from recon import pipeline
    from tests.tiny import CENTER, tiny_scene

    scene = tiny_scene()
    settings = [*TINY_SETTINGS, "train.steps=4"]
    run = pipeline.start(scene, "tiny", with_overrides(preset_config(method, "hashgrid", "fast"), settings), tmp_path)  # pyright: ignore[reportArgumentType]
    pipeline.fit(run, scene, QUIET)
    found = recon.load(run.folder).query(CENTER + np.random.default_rng(0).uniform(-2, 2, (50, 3)), gradient=True)
    assert np.isfinite(found.values).all()
    assert found.gradient is not None
    assert np.isfinite(found.gradient).all()


# --- parts ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", FIELDS)
def test_normals_at_points_on_the_surface(field: str, tmp_path: Path):
    """With a weight on normals a step takes the same points, those on the surface first with the ball's own normals; only the order changes
    what is predicted, and the gradient is that of the field."""
    source = ball(tmp_path / "b.obj")
    solid = read_shape(source)
    run = start(source, field, tmp_path / "runs", "batch=600", "normal_weight=0", params=30_000)
    weighted = replace(run.config, normal_weight=0.1)
    pool = make_pool(solid, run.config, QUIET)
    built = fits.field_of(run)
    shape.place_functions(built, pool, run.config)
    neighbors = shape.cached_neighbors(built, pool)
    plain, batch = (shape.sampler(pool, neighbors, c)(3) for c in (run.config, weighted))
    assert plain.normals is None
    assert batch.normals is not None
    count = len(batch.normals)
    assert 0.4 * len(batch.points) < count < 0.6 * len(batch.points)
    assert sorted(plain.points.tolist()) == sorted(batch.points.tolist())
    assert not batch.targets[:count].any()
    assert bool(batch.targets[count:].all())
    outwards = torch.nn.functional.cosine_similarity(batch.normals, batch.points[:count])
    assert float(outwards.min()) > 0.98, "within the angle of a facet"
    values, gradient = predict_with_gradient(built, batch)
    torch.testing.assert_close(values, built.values(batch.points, batch.neighbors))
    torch.testing.assert_close(gradient, built.values_and_gradient(batch.points[:count])[1])


@pytest.mark.parametrize(("count", "batch"), [(100, 10), (101, 10), (7, 100), (1000, 64)])
def test_an_epoch_takes_every_sample_once(count: int, batch: int):
    ids = stratified(count, batch, seed=3)
    length = -(-count // batch)
    for epoch in (0, 5):
        taken = torch.cat([ids(epoch * length + i) for i in range(length)])
        assert torch.equal(taken.sort().values, torch.arange(count))
    assert torch.equal(ids(1), stratified(count, batch, seed=3)(1))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("l2", 0.04), ("l1", 0.2), ("relative_l2", 0.04 / (1.2**2 + 0.01)), ("mape", 0.2 / 1.01), ("scaled_l2", 0.04 / 1.1)],
)
def test_losses_by_hand(name, wanted):
    assert float(loss_value(name, torch.tensor([1.2]), torch.tensor([1.0]))) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("text", "value"), [("337k", 337_000), ("1.2M", 1_200_000), ("128871", 128_871)])
def test_budgets_in_words(text: str, value: int):
    assert parse_count(text) == value


@pytest.mark.parametrize("text", ["many", "10", "3T", "k"])
def test_budgets_that_are_none(text: str):
    with pytest.raises(UsageError):
        parse_count(text)


@pytest.mark.parametrize(("width", "height", "channels"), [(20, 16, 1), (33, 17, 3), (16, 40, 4)])
def test_pictures_come_back_as_they_are(width, height, channels, tmp_path: Path):
    path = picture(tmp_path / "p.png", width, height, channels)
    raster = read_raster(path, None)
    assert (raster.width, raster.height, raster.channels) == (width, height, channels)
    out = write_raster(tmp_path / "out", raster.array(), False)
    np.testing.assert_array_equal(np.asarray(Image.open(out)), np.asarray(Image.open(path)))
    corner = raster.points(torch.tensor([0, width * height - 1]))
    torch.testing.assert_close(corner[0], torch.tensor([1 / width - 1, 1 / height - 1]))
    torch.testing.assert_close(corner[1], -corner[0])


def test_hdr_pictures(tmp_path: Path):
    pytest.importorskip("OpenEXR")
    values = np.random.default_rng(0).uniform(0, 5, (20, 24, 3)).astype(np.float16).astype(np.float32)
    path = write_raster(tmp_path / "a", values, True)
    raster = read_raster(path, None)
    assert raster.hdr
    np.testing.assert_array_equal(raster.array(), values)
    assert shown(values, True).max() == 255


@pytest.mark.parametrize("name", ["absent.png", "text.png", "cut.png", "text.exr"])
def test_unreadable_pictures(name: str, tmp_path: Path):
    if name.startswith("text"):
        (tmp_path / name).write_text("no picture")
    if name.startswith("cut"):
        whole = picture(tmp_path / "whole.png").read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    if name.endswith("exr"):
        pytest.importorskip("OpenEXR")
    with pytest.raises(DataError):
        read_raster(tmp_path / name, None)


def test_detail_is_the_slope():
    """A ramp of known slope: the same everywhere but at the borders."""
    ramp = np.arange(20, dtype=np.float32)[None, :, None].repeat(16, 0) * 0.01
    from recon.fit.raster import Raster

    raster = Raster(torch.from_numpy(ramp).reshape(-1, 1), 16, 20, False)
    slope = detail(raster, torch.arange(320)).reshape(16, 20)
    torch.testing.assert_close(slope[:, 1:-1], torch.full((16, 18), 0.01), atol=1e-6, rtol=0)


def test_functions_go_where_the_detail_is(tmp_path: Path):
    """Half of the picture is flat: it gets few functions."""
    rng = np.random.default_rng(0)
    image = np.full((64, 64, 3), 128, np.uint8)
    image[:, 32:] = rng.integers(0, 255, (64, 32, 3))
    Image.fromarray(image).save(tmp_path / "p.png")
    raster = read_raster(tmp_path / "p.png", None)
    config = sized(fits.configure(tmp_path / "p.png", "neurbf"), 20_000, FieldUse(3, dims=2), 32)
    field = build_field(config, FieldUse(3, dims=2, aspect=raster.aspect))
    objective = place_functions(field, raster, config)  # pyright: ignore[reportArgumentType]
    assert objective[-1] < objective[0]
    assert float((field.centers[:, 0] > -0.1).float().mean()) > 0.95  # pyright: ignore


def test_rendering_in_pieces_is_rendering_at_once(tmp_path: Path, monkeypatch):
    raster = read_raster(picture(tmp_path / "p.png"), None)
    config = sized(fits.configure(tmp_path / "p.png", "rbfnet"), 12_000, FieldUse(3, dims=2), 24)
    field = build_field(config, FieldUse(3, dims=2, aspect=raster.aspect))
    whole = render(field, raster, lambda share: None)
    monkeypatch.setattr("recon.fit.image.CHUNK", 100)
    np.testing.assert_array_equal(render(field, raster, lambda share: None), whole)


@pytest.mark.parametrize(
    ("settings", "message"),
    [(["nothing=1"], "there is no 'nothing'"), (["neurbf.kernel=box"], "kernel"), (["steps=many"], "steps: expected int")],
)
def test_settings_that_do_not_fit(settings, message, tmp_path: Path):
    with pytest.raises(UsageError, match=message):
        fits.configure(picture(tmp_path / "p.png"), "neurbf", settings=settings)


def test_other_files_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="neither a picture nor a mesh"):
        fits.signal_of(tmp_path / "a.txt")
    with pytest.raises(UsageError, match="crop"):
        fits.configure(tmp_path / "a.obj", "neurbf", crop=64)
    with pytest.raises(UsageError, match="does not fit"):
        read_raster(picture(tmp_path / "p.png"), 100)
    assert fit_preset("image", "neurbf", hdr=True).loss == "relative_l2"


def test_the_command_line(tmp_path: Path, capsys):
    """`recon fit`, then `recon evaluate` of its folder: the same figures."""
    from recon.cli.main import main

    source = picture(tmp_path / "p.png", 64, 64)
    options = ["--field", "rbfnet", "--params", "12k", "--crop", "40", "--out", str(tmp_path / "runs"), "--set", "steps=10", "batch=256"]
    main(["fit", str(source), *options])
    said = capsys.readouterr().out.splitlines()
    folder = Path(said[-1].removeprefix("run: "))
    assert said[1].startswith("PSNR ")
    main(["evaluate", str(folder), "--json"])
    results = json.loads(capsys.readouterr().out)
    assert f"PSNR {results['psnr']:.2f} dB" in said[1]
    assert results["trained_numbers"] <= 12_000
    with pytest.raises(SystemExit) as ended:
        main(["fit", str(tmp_path / "absent.png")])
    assert ended.value.code == 3


def test_the_sines_are_what_makes_pictures_sharp(tmp_path: Path):
    """A photograph fitted with and without them, the same steps and sizes otherwise (NeuRBF's ablation, in small)."""
    from skimage import data

    Image.fromarray(data.astronaut()[64:192, 160:288]).save(tmp_path / "p.png")
    raster = read_raster(tmp_path / "p.png", None)
    psnr = {}
    for name, settings in {"both": (), "none": ("neurbf.frequencies=null", "neurbf.trunk_frequencies=null")}.items():
        config = fits.configure(tmp_path / "p.png", "neurbf", params=40_000, settings=["steps=200", "batch=4096", *settings])
        config = sized(config, config.params, FieldUse(3, dims=2), 64)
        field = build_field(config, FieldUse(3, dims=2, aspect=raster.aspect))
        place_functions(field, raster, config)  # pyright: ignore[reportArgumentType]
        draw, optimizer = sampler(raster, cached_neighbors(field, raster), config), Adam(field.parameter_groups())
        for step in range(config.steps):
            batch = draw(step)
            loss_value("l2", field.values(batch.points, batch.neighbors), batch.targets).backward()
            optimizer.step(rate(config, step))
        psnr[name] = -10 * np.log10(squared_error(field, raster)[0])
    assert psnr["both"] > 33.5
    assert psnr["both"] > psnr["none"] + 2
