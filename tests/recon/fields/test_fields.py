"""Fields: what each kind promises, against finite differences, counts from the papers' tables, and hand-made clusterings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import kernels
from recon.config.files import with_overrides
from recon.config.presets import preset_config
from recon.config.values import HashGridConfig, MLPConfig, NeuRBFConfig, RBFNetConfig
from recon.errors import DataError, UsageError
from recon.fields import sizing
from recon.fields.hashgrid import HashGridField
from recon.fields.kmeans import shapes_from, sine_frequencies, weighted_kmeans
from recon.fields.make import FIELDS
from recon.fields.mlp import MLPField
from recon.fields.morton import morton_order
from recon.fields.neurbf import NeuRBFField
from recon.fields.rbfnet import RBFNetField
from recon.fit.config import fit_preset
from recon.model import build_method
from tests.tiny import TINY_SETTINGS

SMALL_GRID = {"levels": 3, "log2_table_size": 10, "base_resolution": 4, "finest_resolution": 16}
NEURBF = NeuRBFConfig(functions=60, features=8, neighbors=4, hidden=(16, 16), grid_features=2, **SMALL_GRID)
RBFNET = RBFNetConfig(neurons=24, features=2, **SMALL_GRID)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(kind: str, dims: int = 3, outputs: int = 3, activation="softplus", include_input: bool = True):
    """A small field whose parameters are large enough to matter."""
    g = generator(7)
    if kind == "hashgrid":
        field = HashGridField(HashGridConfig(features=2, hidden=(16,), **SMALL_GRID), outputs, activation, include_input, g, dims)
    elif kind == "mlp":
        field = MLPField(MLPConfig(width=32, depth=3, skip=2, frequencies=2), outputs, g, dims)
        field.init_sphere(0.5, g)
    elif kind == "rbfnet":
        field = RBFNetField(RBFNET, outputs, include_input, g, dims)
    else:
        config = replace(NEURBF, trunk_frequencies=(1.0, 4.0)) if kind == "neurbf-sine" else NEURBF
        field = NeuRBFField(config, outputs, activation, include_input, g, dims)
        points = torch.rand(2000, dims, generator=g) * 2 - 1
        field.place(points, torch.rand(2000, generator=g), g, 1e-3, 0.3)
    with torch.no_grad():
        for group in field.parameter_groups():
            if group.sparse:
                group.tensor.uniform_(-0.3, 0.3, generator=g)
    return field


KINDS = ("hashgrid", "neurbf", "neurbf-sine", "rbfnet", "mlp")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dims", [2, 3])
def test_gradient_is_the_derivative(kind: str, dims: int):
    """Order 1 against central differences of order 0 at points away from the grid's kinks: nearly all agree."""
    field = make(kind, dims)
    x = torch.rand(400, dims, generator=generator(1)) * 1.6 - 0.8
    values, gradient = field.values_and_gradient(x)
    assert gradient is not None
    torch.testing.assert_close(values, field.values(x), rtol=1e-4, atol=1e-5)
    h = 2e-3
    for axis in range(dims):
        step = h * torch.eye(dims)[axis]
        slope = ((field.values(x + step)[:, 0] - field.values(x - step)[:, 0]) / (2 * h)).detach()
        error = (slope - gradient.detach()[:, axis]).abs()
        assert float(error.median()) < 2e-2 * float(slope.abs().mean() + 1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_on_the_gradient_reaches_every_parameter(kind: str):
    """An eikonal loss moves grid, functions and network; its derivative along a direction is the difference of losses."""
    field = make(kind)
    x = torch.rand(300, 3, generator=generator(2)) * 1.6 - 0.8

    def loss() -> torch.Tensor:
        values, gradient = field.values_and_gradient(x)
        assert gradient is not None
        return ((gradient.norm(dim=1) - 1) ** 2).mean() + values.square().mean()

    groups = field.parameter_groups()
    loss().backward()
    for group in groups:
        direction = torch.randn(group.tensor.shape, generator=generator(3))
        assert group.tensor.grad is not None, group.name
        predicted = float((group.tensor.grad * direction).sum())
        h = 1e-3 / float(direction.norm()) * max(float(group.tensor.detach().norm()), 0.1)
        with torch.no_grad():
            group.tensor += h * direction
            plus = float(loss())
            group.tensor -= 2 * h * direction
            minus = float(loss())
            group.tensor += h * direction
        measured = (plus - minus) / (2 * h)
        assert measured == pytest.approx(predicted, rel=0.05, abs=0.02 * float(group.tensor.grad.norm()) + 1e-4), group.name


@pytest.mark.parametrize("include_input", [True, False])
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", ["neurbf", "neurbf-sine", "neurbf-unplaced", "rbfnet"])
def test_order_1_is_autograd_twice(kind: str, dims: int, include_input: bool, monkeypatch):
    """The closed forms in float64: values, gradient, and the gradients of a loss on both to every parameter."""
    field = make("neurbf" if kind == "neurbf-unplaced" else kind, dims, include_input=include_input).double()
    if kind == "neurbf-unplaced":
        assert isinstance(field, NeuRBFField)
        field.placed.zero_()
    if kind == "rbfnet":
        assert isinstance(field, RBFNetField)
        with torch.no_grad():
            field.linear.normal_(generator=generator(5))  # pyright: ignore
    field.set_active_levels(0.6)
    x = (torch.rand(200, dims, generator=generator(2)) * 1.6 - 0.8).double()
    parameters = [group.tensor for group in field.parameter_groups()]

    def loss(values: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        return ((gradient.norm(dim=1) - 1) ** 2).mean() + values.square().mean()

    values, gradient = field.values_and_gradient(x)
    assert gradient is not None
    found = torch.autograd.grad(loss(values, gradient), parameters, allow_unused=True)
    monkeypatch.setenv("FORMFIELD_BACKEND", "reference")
    if isinstance(field, NeuRBFField) and field.trunk_frequencies is not None:
        # written out: the sine's own autograd function has no second derivative
        m, first = field.trunk_frequencies, field._first_size
        monkeypatch.setattr(
            field,
            "_decode",
            lambda f: kernels.field_mlp((h := field._first_layer(f)) + torch.sin(h * m), field.params[first:], field.rest),
        )
    at = x.clone().requires_grad_()
    plain = field.values(at)
    (slope,) = torch.autograd.grad(plain[:, 0].sum(), at, create_graph=True)
    torch.testing.assert_close(values, plain, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gradient, slope, rtol=1e-9, atol=1e-9)
    wanted = torch.autograd.grad(loss(plain, slope), parameters, allow_unused=True)
    for group, a, b in zip(field.parameter_groups(), found, wanted, strict=True):
        zero = torch.zeros_like(group.tensor)  # what nothing depends on: functions that are not placed yet
        actual, expected = (zero if t is None else t for t in (a, b))
        assert float((actual - expected).abs().max()) <= 1e-9 * float(expected.abs().max()) + 1e-14, group.name
    moved = {group.name for group, a in zip(field.parameter_groups(), found, strict=True) if a is not None and bool(a.any())}
    assert moved == {g.name for g in field.parameter_groups()} - ({"weights"} if kind == "neurbf-unplaced" else set())


@pytest.mark.parametrize("kind", ["hashgrid", "neurbf", "rbfnet", "mlp"])
def test_the_sphere_initialisation_is_a_sphere(kind: str):
    """Built as the method builds it: the sign is right almost everywhere, and the gradient points outwards with length about 1."""
    settings = [*TINY_SETTINGS, "mlp.width=128", "hashgrid.hidden=[128]", "neurbf.hidden=[128,128]", "rbfnet.neurons=64"]
    method = build_method(with_overrides(preset_config("volsdf", kind, "fast"), settings), "alpha")  # pyright: ignore[reportArgumentType]
    x = torch.rand(4000, 3, generator=generator(4)) * 2 - 1
    x = x[x.norm(dim=1) < 1]
    values, gradient = method.field.values_and_gradient(x)  # pyright: ignore
    distance = x.norm(dim=1) - 0.5
    far = distance.abs() > 0.15
    assert float(((values[:, 0] < 0) == (distance < 0))[far].float().mean()) > 0.9
    outwards = torch.nn.functional.cosine_similarity(gradient, x, dim=1)
    assert float(outwards[x.norm(dim=1) > 0.3].mean()) > 0.9
    assert 0.6 < float(gradient.norm(dim=1).mean()) < 1.5


def test_a_field_that_cannot_start_as_a_sphere(monkeypatch):
    """A surface asks that of it: one sentence, before anything is trained."""
    _, size = FIELDS["mlp"]
    blind = (lambda c, u, g: HashGridField(HashGridConfig(), u.outputs, u.activation, False, g), size)
    monkeypatch.setitem(FIELDS, "mlp", blind)
    with pytest.raises(UsageError, match="mlp cannot start as a sphere"):
        build_method(preset_config("volsdf", "mlp", "fast"), "alpha")
    build_method(preset_config("radiance", "mlp", "fast"), "alpha")


def test_same_seed_same_bits():
    for kind in KINDS:
        a, b = make(kind).state_dict(), make(kind).state_dict()
        assert all(torch.equal(a[k], b[k]) for k in a)


def test_state_brings_functions_and_their_index():
    """A loaded NeuRBF searches among the loaded centres, also if it had searched among others before."""
    a, b = make("neurbf"), NeuRBFField(NEURBF, 3, "softplus", True, generator(99))
    b.place(torch.rand(500, 3, generator=generator(5)), torch.ones(500), generator(6), 1e-3, 0.3)
    x = torch.rand(200, 3, generator=generator(8)) * 2 - 1
    assert not torch.equal(b.values(x), a.values(x))
    b.load_state_dict(a.state_dict())
    assert torch.equal(b.values(x), a.values(x))
    assert torch.equal(b.find_neighbors(x), a.find_neighbors(x))


def test_given_neighbors_give_the_same():
    field = make("neurbf")
    x = torch.rand(200, 3, generator=generator(8)) * 2 - 1
    assert torch.equal(field.values(x), field.values(x, neighbors=field.find_neighbors(x)))


def test_tapered_functions_are_continuous_and_plain_ones_are_not():
    """Along a line that crosses many changes of the neighbour set."""
    x = torch.zeros(200_001, 3)
    x[:, 0] = torch.linspace(-0.9, 0.9, len(x))
    jumps = {}
    for taper in (True, False):
        config = replace(NEURBF, taper=taper, functions=200, normalize=True)
        field = NeuRBFField(config, 1, "softplus", False, generator(11))
        field.place(torch.rand(4000, 3, generator=generator(12)) * 2 - 1, torch.ones(4000), generator(13), 1e-3, 0.3)
        with torch.no_grad():
            field.weights.uniform_(-1, 1, generator=generator(14))
        features = field._features(x, None)[:, field.grid.out_features :].detach()
        jumps[taper] = float((features[1:] - features[:-1]).abs().max())
    assert jumps[False] > 20 * jumps[True]


def test_aspect_makes_the_search_isotropic():
    """In a picture twice as wide as high, the nearest function is the nearest in pixels."""
    field = NeuRBFField(NEURBF, 3, "relu", False, generator(), dims=2, aspect=(1.0, 0.5))
    points = torch.rand(1000, 2, generator=generator(1)) * 2 - 1
    field.place(points, torch.ones(1000), generator(2), 1e-3, 0.3)
    x = torch.rand(100, 2, generator=generator(3)) * 2 - 1
    scaled = x * torch.tensor([1.0, 0.5])
    nearest = (scaled[:, None] - field.centers).norm(dim=2).argmin(1)
    assert torch.equal(field.find_neighbors(x)[:, 0].long(), nearest)


# --- weighted k-means -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
def test_kmeans_goes_down_and_leaves_weightless_points_alone(dims: int):
    g = generator(dims)
    points, weights = torch.rand(3000, dims, generator=g), torch.rand(3000, generator=g)
    weights[::3] = 0.0
    clusters = weighted_kmeans(points, weights, 50, g)
    assert all(b <= a * (1 + 1e-9) for a, b in zip(clusters.objective, clusters.objective[1:], strict=False))
    assert len(clusters.objective) == 11
    assert bool((clusters.owners[::3] == -1).all())
    assert bool((clusters.owners[1::3] >= 0).all())


def test_kmeans_matches_plain_lloyd():
    """Against brute force from the same first centres."""
    g = generator(3)
    points, weights = torch.rand(400, 2, generator=g), torch.rand(400, generator=g)
    first = weighted_kmeans(points, weights, 12, generator(9), iterations=0).centers
    centers = first.double().numpy()
    x, w = points.double().numpy(), weights.double().numpy()
    for _ in range(10):
        owner = ((x[:, None] - centers) ** 2).sum(2).argmin(1)
        for k in range(12):
            if (owner == k).any():
                centers[k] = np.average(x[owner == k], axis=0, weights=w[owner == k])
    found = weighted_kmeans(points, weights, 12, generator(9)).centers
    np.testing.assert_allclose(found.numpy(), centers, atol=1e-5)


def test_an_empty_cluster_keeps_its_centre():
    """Two centres on one and the same place: one of them owns nothing and stays."""
    points = torch.tensor([[0.1, 0.1], [0.1, 0.1], [0.9, 0.9]])
    clusters = weighted_kmeans(points, torch.ones(3), 3, generator())
    assert sorted(clusters.centers.sum(1).tolist()) == pytest.approx([0.2, 0.2, 1.8], abs=1e-6)


@pytest.mark.parametrize("weights", [torch.tensor([1.0, -1.0, 1.0]), torch.tensor([1.0, float("nan"), 1.0]), torch.tensor([1.0, 0.0, 0.0])])
def test_kmeans_refuses(weights):
    with pytest.raises(DataError):
        weighted_kmeans(torch.rand(3, 2), weights, 2, generator())


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kernel", ["iq", "gauss"])
def test_full_shapes_are_positive_definite_after_clipping(dims: int, kernel: str):
    """Also for clusters that own nothing, are a line, or are far too wide."""
    a = torch.randn(200, dims, dims, generator=generator(1), dtype=torch.float64)
    covariance = a @ a.transpose(1, 2) * 10.0 ** (torch.rand(200, 1, 1, generator=generator(2), dtype=torch.float64) * 8 - 6)
    covariance[0] = 0.0
    covariance[1] = torch.ones(dims, dims)
    shapes = shapes_from(covariance, kernel, dims * (dims + 1) // 2, 1e-3, 0.2)
    full = torch.zeros(200, dims, dims)
    row, column = torch.triu_indices(dims, dims)
    full[:, row, column] = shapes
    full[:, column, row] = shapes
    eigenvalues = torch.linalg.eigvalsh(full.double())
    assert float(eigenvalues.min()) > 0
    assert float(eigenvalues.max()) <= 1e6 * 1.01


@pytest.mark.parametrize("kernel", ["iq", "hat"])
def test_half_height_at_one_width(kernel: str):
    """The inverse quadratic and the hat are at one half where the cluster's width, over sqrt(alpha), is."""
    covariance = torch.diag(torch.tensor([4e-4, 0.0], dtype=torch.float64))[None]
    shape = shapes_from(covariance, kernel, 1, 1e-4, 1.0, alpha=0.5)
    width = (4e-4 / 0.5) ** 0.5
    x = torch.tensor([[width, 0.0]])
    value = kernels.rbf_encode(
        x, torch.zeros(1, 2), shape, torch.ones(1, 1), torch.zeros(1, 1, dtype=torch.int32), kernel=kernel, normalize=False
    )
    assert float(value) == pytest.approx(0.5, abs=1e-3)


def test_frequencies_span_octaves_evenly():
    m = sine_frequencies((2.0**-3, 2.0**12), 32)
    assert m is not None
    assert float(m[0]) == pytest.approx(0.125)
    assert float(m[-1]) == pytest.approx(4096.0)
    steps = torch.log2(m).diff()
    torch.testing.assert_close(steps, steps[:1].expand_as(steps), atol=1e-4, rtol=0)
    assert sine_frequencies(None, 4) is None


@pytest.mark.parametrize("dims", [2, 3])
def test_morton_order_keeps_neighbours_together(dims: int):
    x = torch.rand(4096, dims, generator=generator(1))
    order = morton_order(x)
    assert torch.equal(order.sort().values, torch.arange(4096))
    before, after = (p.diff(dim=0).norm(dim=1).mean() for p in (x, x[order]))
    assert float(after) < 0.35 * float(before)


# --- RBFNet -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("include_input", [True, False])
def test_neurons_differ_at_the_start(include_input: bool):
    """The default initialisation spreads their answers; the released one makes them all alike."""
    spread = {}
    x = torch.rand(500, 3, generator=generator(1)) * 2 - 1
    for init in ("default", "paper"):
        field = RBFNetField(replace(RBFNET, init=init), 1, include_input, generator(2))  # pyright: ignore[reportArgumentType]
        eye, zero = torch.eye(RBFNET.neurons), torch.zeros(RBFNET.neurons)
        phi = kernels.rbf_layer(field._features(x), field.centers, field.log_betas, eye, zero)
        spread[init] = float(phi.std(1).mean())
    assert spread["default"] > 1e-2
    assert spread["default"] > 30 * spread["paper"]


# --- sizes ------------------------------------------------------------------------------------------------------------------------------

IMAGES = [  # longer side, log2 of the grid's table, reference, functions, trained, total: the NeuRBF paper's settings
    (2040, 24, 4_905_747, 76_153, 4_524_967, 4_905_732),
    (2040, 18, 4_905_747, 118_221, 4_314_631, None),
    (6114, 24, None, 498_231, None, None),
    (8000, 24, None, 795_365, None, None),
    (256, 24, 142_755, 2_776, 128_871, 142_751),
]


@pytest.mark.parametrize(("side", "log2_table", "reference", "functions", "trained", "total"), IMAGES)
def test_sizes_of_the_papers_pictures(side, log2_table, reference, functions, trained, total):
    config = replace(fit_preset("image", "neurbf").neurbf, log2_table_size=log2_table, finest_resolution=side // 2)
    count = sizing.reference_size(2, 24, side // 2, 3)
    size = sizing.neurbf_size(sizing.neurbf_by_reference(config, count, 2, 3), 2, 3)
    assert size.functions == functions
    for found, wanted in ((count, reference), (size.trainable, trained), (size.total, total)):
        assert wanted is None or found == wanted


@pytest.mark.parametrize(
    ("log2_table", "reference", "functions", "trained", "total"),
    [(15, 950_417, 23_600, 856_009, 950_409), (14, 497_617, 12_280, 448_489, 497_609)],
)
def test_sizes_of_the_papers_shapes(log2_table, reference, functions, trained, total):
    config = replace(fit_preset("sdf", "neurbf").neurbf, log2_table_size=log2_table, finest_resolution=2048)
    count = sizing.reference_size(3, log2_table, 2048, 1)
    assert count == reference
    size = sizing.neurbf_size(sizing.neurbf_by_reference(config, count, 3, 1), 3, 1)
    assert (size.functions, size.trainable, size.total) == (functions, trained, total)
    assert sizing.neurbf_for(config, trained, 3, 1, 2048) == replace(config, functions=functions)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("budget", [40_000, 337_000])
def test_budgets_are_kept_and_used(dims: int, budget: int):
    signal = "image" if dims == 2 else "sdf"
    outputs, g = (3 if dims == 2 else 1), generator()
    presets = {kind: fit_preset(signal, kind) for kind in ("hashgrid", "neurbf", "rbfnet", "mlp")}  # pyright: ignore[reportArgumentType]
    fields = {
        "hashgrid": HashGridField(
            sizing.hashgrid_for(presets["hashgrid"].hashgrid, budget, dims, outputs, 256), outputs, "relu", False, g, dims
        ),
        "neurbf": NeuRBFField(sizing.neurbf_for(presets["neurbf"].neurbf, budget, dims, outputs, 256), outputs, "relu", False, g, dims),
        "rbfnet": RBFNetField(sizing.rbfnet_for(presets["rbfnet"].rbfnet, budget, dims, outputs, 256), outputs, False, g, dims),
        "mlp": MLPField(sizing.mlp_for(presets["mlp"].mlp, budget, dims, outputs), outputs, g, dims),
    }
    for kind, field in fields.items():
        count = sum(p.numel() for p in field.parameters())
        assert 0.75 * budget < count <= budget, kind


def test_too_small_a_budget_is_refused():
    with pytest.raises(UsageError, match="too few"):
        sizing.neurbf_for(fit_preset("image", "neurbf").neurbf, 2000, 2, 3, 128)
