"""The native ops on rays and radial functions as torch sees them: schema, fake kernels, autograd registration."""

import pytest
import torch
from packed_cases import generator, packed_offsets

import kernels
from kernels import OccupancyGrid, backends
from kernels.ops import composite, knn, laplace, march, rbf, rbf_layer, sampling

pytestmark = pytest.mark.skipif(not backends.status("composite", "cpu")[0], reason=backends.status("composite", "cpu")[1])


def inputs():
    g = generator(0)
    offsets = packed_offsets(3, 0, 5)
    density, dt = torch.rand(8, generator=g), torch.rand(8, generator=g)
    t = torch.cat([dt[:3].cumsum(0), dt[3:].cumsum(0)])
    return density, dt, t, torch.rand(8, 3, generator=g), offsets


CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor")


@pytest.mark.parametrize("name", ["composite", "alpha", "distortion", "density", "bound", "solve", "sample_pdf"])
def test_opcheck(name):
    density, dt, t, channels, offsets = inputs()
    leaf = density.clone().requires_grad_()
    beta = torch.tensor(0.1, requires_grad=True)
    op, args, checks = {
        "composite": (composite._composite, (leaf, dt, channels, offsets, 0.0, "cpu"), (*CHECKS, "test_aot_dispatch_dynamic")),
        "alpha": (composite._alpha, (leaf, channels, offsets, 0.0, "cpu"), CHECKS),
        "distortion": (composite._distortion, (leaf, t, dt, offsets, "cpu"), CHECKS),
        "density": (laplace._density, (leaf, beta, "cpu"), (*CHECKS, "test_aot_dispatch_dynamic")),
        "bound": (laplace._bound, (density, t, offsets, beta.detach(), False, "cpu"), CHECKS),
        "solve": (laplace._solve, (density, t, offsets, beta.detach(), 0.1, 5, "cpu"), CHECKS),
        "sample_pdf": (sampling._sample_pdf, (t, density, torch.rand(3, 4), offsets, "cpu"), CHECKS),
    }[name]
    torch.library.opcheck(op, args, test_utils=checks)


def test_opcheck_march():
    d = torch.nn.functional.normalize(torch.randn(4, 3, generator=generator(1)), dim=-1)
    bits = OccupancyGrid.full(8).bitfield
    args = (torch.zeros(4, 3), d, torch.zeros(4), torch.ones(4), torch.full((4,), 0.5), bits, 8, 0.1, 0.0, 100, "cpu")
    torch.library.opcheck(march._march, args, test_utils=CHECKS)


def test_opcheck_knn_and_rbf():
    g = generator(2)
    centers, x = torch.rand(20, 2, generator=g), torch.rand(6, 2, generator=g)
    index = kernels.knn_index(centers)
    torch.library.opcheck(knn._query, (index.boxes, index.leaf_points, index.leaf_ids, x, 3, "cpu"), test_utils=CHECKS)
    leaves = [t.requires_grad_() for t in (x, centers, torch.ones(20, 1), torch.rand(20, 4, generator=g))]
    neighbors = kernels.knn(centers.detach(), x.detach(), 3)[0]
    torch.library.opcheck(rbf._encode, (*leaves, neighbors, torch.ones(4), 0, 1, "cpu"), test_utils=CHECKS)
    grad = torch.rand(6, 4, generator=g)
    args = (grad, *leaves, neighbors, torch.ones(4), 0, 1, [True, False, False, False], "cpu")
    torch.library.opcheck(rbf._backward, args, test_utils=CHECKS)
    layer = [torch.rand(shape, generator=g).requires_grad_() for shape in ((6, 4), (5, 4), (5, 4), (3, 5), (3,))]
    torch.library.opcheck(rbf_layer._layer, (*layer, "cpu"), test_utils=CHECKS)
    torch.library.opcheck(rbf_layer._backward, (torch.rand(6, 3), *layer[:4], True, False, "cpu"), test_utils=CHECKS)
