"""The edge field against the published formulas, and on a box whose edges are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from recon.config.files import with_overrides
from recon.config.presets import preset_config
from recon.config.values import MLPConfig, NEFConfig
from recon.methods.nef import NEF, adaptive_loss, range_limited_density, sample_losses
from recon.methods.nef_network import NEFNetwork, positional_encoding
from recon.model import build_method
from recon.optimizer import Adam, learning_rate
from recon.rendering.edge_rays import EdgeBank
from recon.rendering.hierarchical import dense_weights, refined, stratified
from recon.rendering.rays import Rays, Targets
from tests.tiny_box import TINY_SETTINGS, WORLD_FROM_SCENE, box_edges, edge_points


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("edge", "beta", "sigma"),
    [
        (0.8, 0.1, 1e4 * 0.1001 / 2),  # the middle of the sigmoid
        (1.0, 0.0122, 1e4 * 0.0123 / (1 + math.exp(-2))),
        (0.0, -0.1, 1e4 * 0.1001 / (1 + math.exp(8))),  # only the size of beta counts
        (0.3, 0.0, 1e4 * 1e-4 / (1 + math.exp(5))),  # never without any density
    ],
)
def test_density(edge, beta, sigma):
    got = range_limited_density(torch.tensor([edge], dtype=torch.float64), torch.tensor([beta], dtype=torch.float64))
    assert got.item() == pytest.approx(sigma, rel=1e-9)


def test_network_has_the_published_size():
    assert sum(p.numel() for p in NEFNetwork(MLPConfig(frequencies=10), generator()).parameters()) == 792_962


def test_positional_encoding():
    x = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    expected = [0.3, -0.7]
    for k in range(3):
        expected += [math.sin(2**k * 0.3), math.sin(2**k * -0.7), math.cos(2**k * 0.3), math.cos(2**k * -0.7)]
    np.testing.assert_allclose(positional_encoding(x, 3)[0], expected, rtol=1e-12)


def transcribed_network(model: NEFNetwork, point: torch.Tensor, direction: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """NEF's network written down once more: encoding, eight layers with the input again before the fifth, the two heads. float64"""
    w = {name: p.detach().double() for name, p in model.named_parameters()}
    layer = lambda name, x: x @ w[f"{name}.weight"].T + w[f"{name}.bias"]  # noqa: E731
    encode = lambda x, n: torch.cat([x, *(f(2.0**k * x) for k in range(n) for f in (torch.sin, torch.cos))], -1)  # noqa: E731
    inputs = encode(point / 2 + 0.5, 10)
    h = inputs
    for i in range(8):
        h = layer(f"trunk.{i}", torch.cat([inputs, h], -1) if i == 4 else h).clamp_min(0)
    edge = 1 / (1 + torch.exp(-layer("edge_head", h)))
    for i in range(4):
        h = layer(f"grey_trunk.{i}", h).clamp_min(0)
    h = layer("grey_hidden", torch.cat([h, encode(direction, 4)], -1)).clamp_min(0)
    return edge[..., 0], (1 / (1 + torch.exp(-layer("grey_head", h))))[..., 0]


def transcribed_ray(edge: np.ndarray, grey: np.ndarray, t: np.ndarray, beta: float) -> tuple[float, np.ndarray]:
    """One ray, sample by sample."""
    light, value, weights = 1.0, 0.0, []
    for i in range(len(t)):
        delta = t[i + 1] - t[i] if i + 1 < len(t) else 1e10
        sigma = 1e4 * (abs(beta) + 1e-4) / (1 + math.exp(-10 * (edge[i] - 0.8)))
        alpha = 1 - math.exp(-sigma * delta)
        weights.append(light * alpha)
        value += weights[-1] * grey[i]
        light *= 1 - alpha + 1e-10
    return value, np.array(weights)


def transcribed_losses(values, wanted, edges, greys) -> tuple[float, float, float]:
    """Adaptive, consistency and sparsity loss of one pass. [R], [R], [R, S], [R, S]"""
    positive, negative, total = sum(g > 0.3 for g in wanted), sum(g <= 0.3 for g in wanted), len(wanted)
    color = sum((negative + 1 if g > 0.3 else positive + 1) / total * (v - g) ** 2 for v, g in zip(values, wanted, strict=True)) / total
    consistency = float(((greys - edges) ** 2).mean())
    masked = [(0.0 if g > 0.3 else 1.0) * np.log(1 + e**2 / 0.5) for g, e in zip(wanted, edges, strict=True)]
    return color, consistency, 0.01 * float(np.concatenate(masked).mean())


def test_the_paper_preset_computes_the_published_formulas():
    """Density, composite and losses of both networks equal a transcription in float64, sample by sample."""
    config = with_overrides(preset_config("nef", None, "paper"), ["nef.coarse_samples=16", "nef.fine_samples=8"])
    method = build_method(config, "alpha")
    assert isinstance(method, NEF)
    assert isinstance(method.coarse, NEFNetwork)
    assert isinstance(method.model, NEFNetwork)
    rays, targets = EdgeBank(box_edges(4, 24).views, WORLD_FROM_SCENE.inverse(), 400, 0.5, everywhere=True).draw(12, generator(3))
    got = method.losses(rays, targets, generator(7))

    g = generator(7)
    distance = rays.origins.norm(dim=-1)
    t = stratified(distance - 1, distance + 1, 16, g)
    expected = np.zeros(3)
    for model in (method.coarse, method.model):
        points = (rays.origins[:, None] + t[..., None] * rays.directions[:, None]).double()
        edge, grey = transcribed_network(model, points, rays.directions.double()[:, None].expand_as(points))
        traced = [transcribed_ray(*(x[i].numpy() for x in (edge, grey, t.double())), 0.1) for i in range(12)]
        expected += transcribed_losses([v for v, _ in traced], targets.rgb[:, 0].tolist(), edge.numpy(), grey.numpy())
        if model is method.coarse:
            t = refined(t, torch.tensor(np.stack([w for _, w in traced])).float(), 8, g)
    assert t.shape == (12, 24)
    np.testing.assert_allclose([got.terms[k] for k in ("color", "consistency", "sparsity")], expected, rtol=2e-4)
    assert float(got.total.detach()) == pytest.approx(sum(expected), rel=2e-4)
    assert got.samples == 12 * (16 + 24)


@pytest.mark.parametrize("wanted", [[0.0, 0.9, 0.1, 0.31], [0.0, 0.0], [1.0, 1.0], [0.3]])
def test_losses_against_the_transcription(wanted):
    rng = np.random.default_rng(0)
    values, edges, greys = rng.random(len(wanted)), rng.random((len(wanted), 5)), rng.random((len(wanted), 5))
    expected = transcribed_losses(values, wanted, edges, greys)
    target = torch.tensor(wanted, dtype=torch.float64)
    parts = sample_losses(
        torch.tensor(edges).reshape(-1), torch.tensor(greys).reshape(-1), (target <= 0.3).repeat_interleave(5), edges.size
    )
    np.testing.assert_allclose(adaptive_loss(torch.tensor(values), target), expected[0], rtol=1e-12)
    np.testing.assert_allclose([parts[0], 0.01 * parts[1]], expected[1:], rtol=1e-12)


def test_dense_weights_are_the_recurrence_and_leave_no_light():
    rng = np.random.default_rng(1)
    t = np.sort(rng.random((6, 20)) * 2, -1)
    edge, grey = rng.random((6, 20)), rng.random((6, 20))
    got = dense_weights(range_limited_density(torch.tensor(edge), torch.tensor([0.01], dtype=torch.float64)), torch.tensor(t))
    for i in range(6):
        np.testing.assert_allclose(got[i], transcribed_ray(edge[i], grey[i], t[i], 0.01)[1], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(got.sum(-1), 1.0, atol=1e-8)


def test_stratified_and_refined_samples():
    """Rising, within the interval, one to a stratum; new ones where the weight is."""
    near, far = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.5])
    t = stratified(near, far, 9, generator())
    assert (t[:, 1:] > t[:, :-1]).all()
    assert (t >= near[:, None]).all()
    assert (t <= far[:, None]).all()
    weights = torch.zeros(2, 9)
    weights[:, 4] = 1.0
    more = refined(t, weights, 32, generator())
    assert (more[:, 1:] >= more[:, :-1]).all()
    lower, upper = 0.5 * (t[:, 3] + t[:, 4]), 0.5 * (t[:, 4] + t[:, 5])
    inside = (more > lower[:, None]) & (more < upper[:, None])
    assert (inside.sum(-1) >= 32).all()


@pytest.mark.parametrize("field", ["hashgrid", "neurbf", "rbfnet", "mlp"])
def test_an_edge_field_renders_empty_and_full_space(field):
    """On every field: rays that miss the sphere show nothing; everything is finite and in range."""
    settings = [*TINY_SETTINGS, "mlp.width=16", "neurbf.functions=64", "neurbf.levels=4", "rbfnet.levels=4"]
    method = build_method(with_overrides(preset_config("nef", field, "fast"), settings), "unknown")
    rays = Rays(torch.tensor([[0.0, 0.0, -3.0], [0.0, 5.0, -3.0]]), torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]))
    shown = method.render(rays)
    assert shown.rgb.shape == (2, 3)
    assert torch.isfinite(shown.rgb).all()
    assert (shown.rgb[1] == 0).all()
    assert 0 < float(shown.rgb[0, 0]) < 1
    losses = method.losses(rays, Targets(torch.tensor([[1.0], [0.0]]), torch.ones(2)), generator())
    losses.total.backward()
    assert all(torch.isfinite(g.tensor.grad).all() for g in method.parameter_groups() if g.tensor.grad is not None)


def test_the_field_finds_the_edges_of_a_box():
    """A short training on exact maps: high on the edges, low elsewhere, and most space is left out."""
    overrides = (
        "train.steps=180",
        "nef.step=0.03",
        "nef.sparsity_weight=0.1",
        "nef.occupancy_from=64",
        "train.occupancy_resolution=32",
        "hashgrid.levels=6",
    )
    settings = [*TINY_SETTINGS, *overrides]
    config = with_overrides(preset_config("nef", "hashgrid", "fast"), settings)
    method = build_method(config, "alpha")
    assert isinstance(method, NEF)
    bank = EdgeBank(box_edges(14, 48).views, WORLD_FROM_SCENE.inverse(), 400, config.nef.importance)
    optimizer, g = Adam(method.parameter_groups()), generator(1)
    rays = 128
    for step in range(config.train.steps):
        if step % 16 == 0:
            method.refresh_occupancy(step, g)
        losses = method.losses(*bank.draw(rays, g), g)
        losses.total.backward()
        optimizer.step(learning_rate(config.train, step))
        rays = int(min(max(rays * 8192 / max(losses.samples, 1), 128), 2 * rays, 2048))
    points = torch.rand(20000, 3, generator=g) * 1.6 - 0.8
    truth = WORLD_FROM_SCENE.inverse().apply(edge_points())
    far = torch.from_numpy(KDTree(truth).query(points.numpy())[0] > 0.1)
    on_edges = method.edge_probability(torch.from_numpy(truth).float())
    elsewhere = method.edge_probability(points[far])
    assert float(on_edges.median()) > 0.4
    assert float(on_edges.quantile(0.1)) > float(elsewhere.quantile(0.97))
    assert method.grid.occupied_fraction() < 0.6


def test_learning_rate_of_the_paper():
    """5e-4, halved after two and four of the six epochs; never after eight, which do not come."""
    train = preset_config("nef", None, "paper").train
    epoch = 7813
    assert train.steps == 6 * epoch
    got = [learning_rate(train, s) for s in (0, 2 * epoch - 1, 2 * epoch, 4 * epoch - 1, 4 * epoch, 6 * epoch - 1)]
    assert got == pytest.approx([5e-4, 5e-4, 2.5e-4, 2.5e-4, 1.25e-4, 1.25e-4])
    assert NEFConfig().sparsity_weight == 0.01
