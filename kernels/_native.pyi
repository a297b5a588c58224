"""Native CPU kernels; called through kernels.backends.cpu. float32 and float64; tensors contiguous, on the CPU."""

from collections.abc import Sequence

from torch import Tensor

class BoundedResult:
    """Samples that bounded_samples found."""

    def samples(self) -> int: ...
    def queries(self) -> int: ...
    def write(self, offsets: Tensor, ray_indices: Tensor, t: Tensor, dt: Tensor, met: Tensor) -> None: ...

class BoundedResultDouble:
    """Samples that bounded_samples found."""

    def samples(self) -> int: ...
    def queries(self) -> int: ...
    def write(self, offsets: Tensor, ray_indices: Tensor, t: Tensor, dt: Tensor, met: Tensor) -> None: ...

class BoundedWalker:
    """bounded_samples with a field of the caller's: points() and answer() as long as something is asked."""

    def asked(self) -> int: ...
    def points(self, points: Tensor) -> None: ...
    def answer(self, sdf: Tensor) -> None: ...
    def finish(self) -> BoundedResult: ...

class BoundedWalkerDouble:
    """bounded_samples with a field of the caller's: points() and answer() as long as something is asked."""

    def asked(self) -> int: ...
    def points(self, points: Tensor) -> None: ...
    def answer(self, sdf: Tensor) -> None: ...
    def finish(self) -> BoundedResultDouble: ...

class Grid:
    """Geometry of a hash grid, from kernels.HashGridSpec."""

    def __init__(
        self,
        dims: int,
        features: int,
        smoothstep: bool,
        scales: Sequence[float],
        resolutions: Sequence[int],
        offsets: Sequence[int],
        hashed: Sequence[bool],
    ) -> None: ...

class MLP:
    """Layout of a network, from kernels.MLPSpec."""

    def __init__(self, widths: Sequence[int], activation: int, output_activation: int, bias: bool, beta: float) -> None: ...

def adam_step(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    steps: Tensor,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    skip_zero: bool,
    clear: bool,
    threads: int,
) -> None:
    """kernels/native/cpu/adam.cpp"""

def bounded_samples(
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    jitter: Tensor,
    bitfield: Tensor,
    resolution: int,
    step: float,
    beta: float,
    slope: float,
    epsilon: float,
    visible: float,
    faint: float,
    cuts: int,
    table: Tensor,
    params: Tensor,
    grid: Grid,
    mlp: MLP,
    include_input: bool,
    active_levels: int,
    threads: int,
) -> BoundedResult:
    """kernels/native/cpu/bounded.cpp"""

def bounded_walker(
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    jitter: Tensor,
    bitfield: Tensor,
    resolution: int,
    step: float,
    beta: float,
    slope: float,
    epsilon: float,
    visible: float,
    faint: float,
    cuts: int,
) -> BoundedWalker:
    """kernels/native/cpu/bounded.cpp"""

def composite_alpha_backward(
    alpha: Tensor,
    channels: Tensor,
    offsets: Tensor,
    early_stop: float,
    weights: Tensor,
    before: Tensor,
    grad_values: Tensor | None,
    grad_opacity: Tensor | None,
    grad_weights: Tensor | None,
    grad_alpha: Tensor | None,
    grad_channels: Tensor | None,
    threads: int,
) -> None:
    """kernels/native/cpu/composite.cpp"""

def composite_alpha_forward(
    alpha: Tensor,
    channels: Tensor,
    offsets: Tensor,
    early_stop: float,
    values: Tensor,
    opacity: Tensor,
    weights: Tensor,
    before: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/composite.cpp"""

def composite_backward(
    density: Tensor,
    dt: Tensor,
    channels: Tensor,
    offsets: Tensor,
    weights: Tensor,
    after: Tensor,
    grad_values: Tensor | None,
    grad_opacity: Tensor | None,
    grad_weights: Tensor | None,
    grad_density: Tensor | None,
    grad_dt: Tensor | None,
    grad_channels: Tensor | None,
    threads: int,
) -> None:
    """kernels/native/cpu/composite.cpp"""

def composite_forward(
    density: Tensor,
    dt: Tensor,
    channels: Tensor,
    offsets: Tensor,
    early_stop: float,
    values: Tensor,
    opacity: Tensor,
    weights: Tensor,
    after: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/composite.cpp"""

def distortion_backward(
    weights: Tensor,
    t: Tensor,
    dt: Tensor,
    offsets: Tensor,
    grad_loss: Tensor,
    grad_weights: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/composite.cpp"""

def distortion_forward(weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor, loss: Tensor, threads: int) -> None:
    """kernels/native/cpu/composite.cpp"""

def error_bound(
    sdf: Tensor,
    t: Tensor,
    offsets: Tensor,
    beta: Tensor,
    per_ray: Tensor | None,
    per_sample: Tensor | None,
    threads: int,
) -> None:
    """kernels/native/cpu/laplace.cpp"""

def field_mlp_backward(
    x: Tensor,
    params: Tensor,
    mlp: MLP,
    grad_out: Tensor,
    grad_gradient: Tensor | None,
    grad_x: Tensor | None,
    grad_params: Tensor | None,
    threads: int,
) -> None:
    """kernels/native/cpu/mlp.cpp"""

def field_mlp_forward(x: Tensor, params: Tensor, mlp: MLP, out: Tensor, gradient: Tensor | None, threads: int) -> None:
    """kernels/native/cpu/mlp.cpp"""

def filter_depth(
    depth: Tensor,
    camera: Sequence[float],
    others: Sequence[Tensor],
    geometry: Tensor,
    earlier: int,
    pixels: float,
    relative: float,
    mean: Tensor,
    angle: Tensor,
    count: Tensor,
    before: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/depth_maps.cpp"""

def fused_field_backward(
    x: Tensor,
    table: Tensor,
    params: Tensor,
    grid: Grid,
    mlp: MLP,
    include_input: bool,
    active_levels: int,
    grad_out: Tensor,
    grad_gradient: Tensor | None,
    tape: Tensor | None,
    grad_x: Tensor | None,
    grad_table: Tensor,
    grad_params: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/field.cpp"""

def fused_field_forward(
    x: Tensor,
    table: Tensor,
    params: Tensor,
    grid: Grid,
    mlp: MLP,
    include_input: bool,
    active_levels: int,
    out: Tensor,
    gradient: Tensor | None,
    tape: Tensor | None,
    threads: int,
) -> None:
    """kernels/native/cpu/field.cpp"""

def hash_encode_backward(
    x: Tensor,
    table: Tensor,
    grid: Grid,
    active_levels: int,
    grad_out: Tensor,
    grad_x: Tensor | None,
    grad_table: Tensor | None,
    threads: int,
) -> None:
    """kernels/native/cpu/hash_encode.cpp"""

def hash_encode_double_backward(
    x: Tensor,
    table: Tensor,
    grid: Grid,
    active_levels: int,
    grad_out: Tensor,
    v: Tensor,
    grad_grad_out: Tensor,
    grad_x: Tensor | None,
    grad_table: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/hash_encode.cpp"""

def hash_encode_forward(x: Tensor, table: Tensor, grid: Grid, active_levels: int, out: Tensor, threads: int) -> None:
    """kernels/native/cpu/hash_encode.cpp"""

def isa() -> str:
    """Instruction set that the SIMD kernels use on this machine."""

def knn_build(points: Tensor, boxes: Tensor, leaf_points: Tensor, leaf_ids: Tensor, threads: int) -> None:
    """kernels/native/cpu/knn.cpp"""

def knn_query(
    boxes: Tensor,
    leaf_points: Tensor,
    leaf_ids: Tensor,
    queries: Tensor,
    indices: Tensor,
    squared: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/knn.cpp"""

def laplace_backward(sdf: Tensor, beta: Tensor, grad: Tensor, grad_sdf: Tensor | None, grad_beta: Tensor | None, threads: int) -> None:
    """kernels/native/cpu/laplace.cpp"""

def laplace_forward(sdf: Tensor, beta: Tensor, density: Tensor, threads: int) -> None:
    """kernels/native/cpu/laplace.cpp"""

def march_count(
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    jitter: Tensor,
    bitfield: Tensor,
    resolution: int,
    step: float,
    cone_angle: float,
    max_step: float,
    max_samples: int,
    offsets: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/march.cpp"""

def march_fill(
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    jitter: Tensor,
    bitfield: Tensor,
    resolution: int,
    step: float,
    cone_angle: float,
    max_step: float,
    offsets: Tensor,
    ray_indices: Tensor,
    t: Tensor,
    dt: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/march.cpp"""

def nested_grids_count(
    origins: Tensor,
    directions: Tensor,
    sorted: Tensor,
    order: Tensor,
    hits: Tensor,
    wanted: Tensor,
    near: Tensor,
    far: Tensor,
    occupied: Tensor,
    boxes: Tensor,
    step: float,
    cone: float,
    limit: int,
    edges: Tensor,
    intervals: Tensor,
    ends: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/grid_walk.cpp"""

def nested_grids_fill(
    origins: Tensor,
    directions: Tensor,
    sorted: Tensor,
    order: Tensor,
    hits: Tensor,
    wanted: Tensor,
    near: Tensor,
    far: Tensor,
    occupied: Tensor,
    boxes: Tensor,
    step: float,
    cone: float,
    limit: int,
    first_edges: Tensor,
    first_intervals: Tensor,
    edges: Tensor,
    edge_rays: Tensor,
    is_left: Tensor,
    is_right: Tensor,
    middles: Tensor,
    middle_rays: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/grid_walk.cpp"""

def occupancy_decay(values: Tensor, fresh: Tensor, indices: Tensor | None, decay: float, threads: int) -> None:
    """kernels/native/cpu/occupancy.cpp"""

def occupancy_pack(values: Tensor, threshold: float, bitfield: Tensor, threads: int) -> None:
    """kernels/native/cpu/occupancy.cpp"""

def occupancy_see(planes: Tensor, resolution: int, size: float, radius: float, seen: Tensor, threads: int) -> None:
    """kernels/native/cpu/occupancy.cpp"""

def packed_product_backward(starts: Tensor, counts: Tensor, x: Tensor, grad: Tensor, out: Tensor, exclusive: bool, threads: int) -> None:
    """kernels/native/cpu/packed_scan.cpp"""

def packed_scan(
    starts: Tensor,
    counts: Tensor,
    x: Tensor,
    out: Tensor,
    product: bool,
    exclusive: bool,
    reverse: bool,
    threads: int,
) -> None:
    """kernels/native/cpu/packed_scan.cpp"""

def packed_upper_bound(
    values: Tensor,
    rows: Tensor,
    sorted_values: Tensor,
    firsts: Tensor,
    lasts: Tensor,
    out: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/packed_scan.cpp"""

def patch_agreement(
    pixels: Tensor,
    starts: Tensor,
    widths: Tensor,
    others: Tensor,
    warps: Tensor,
    view: Tensor,
    middle: Tensor,
    planes: Tensor,
    reach: int,
    noise: float,
    costs: Tensor,
    slopes: Tensor,
    texture: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/patch_agreement.cpp"""

def patch_costs(
    grey: Tensor,
    mask: Tensor | None,
    camera: Sequence[float],
    sources: Sequence[Tensor],
    masks: Sequence[Tensor],
    depths: Sequence[Tensor],
    geometry: Tensor,
    geometric: float,
    variance: float,
    planes: Tensor,
    costs: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/patch_match.cpp"""

def patch_match(
    grey: Tensor,
    mask: Tensor | None,
    camera: Sequence[float],
    sources: Sequence[Tensor],
    masks: Sequence[Tensor],
    depths: Sequence[Tensor],
    geometry: Tensor,
    geometric: float,
    variance: float,
    near: float,
    far: float,
    best: int,
    iterations: int,
    perturbation: float,
    seeds: Sequence[int],
    planes: Tensor,
    costs: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/patch_match.cpp"""

def rbf_backward(
    x: Tensor,
    centers: Tensor,
    shapes: Tensor,
    weights: Tensor,
    neighbors: Tensor,
    frequencies: Tensor | None,
    kernel: int,
    flags: int,
    grad: Tensor,
    direction: Tensor | None,
    by_grad: Tensor | None,
    by_x: Tensor | None,
    by_centers: Tensor | None,
    by_shapes: Tensor | None,
    by_weights: Tensor | None,
    threads: int,
) -> None:
    """kernels/native/cpu/rbf.cpp"""

def rbf_forward(
    x: Tensor,
    centers: Tensor,
    shapes: Tensor,
    weights: Tensor,
    neighbors: Tensor,
    frequencies: Tensor | None,
    kernel: int,
    flags: int,
    out: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/rbf.cpp"""

def rbf_layer_backward(
    features: Tensor,
    centers: Tensor,
    log_betas: Tensor,
    weight: Tensor,
    grad: Tensor,
    direction: Tensor | None,
    by_grad: Tensor | None,
    by_features: Tensor | None,
    sums: Tensor | None,
    threads: int,
) -> None:
    """kernels/native/cpu/rbf_layer.cpp"""

def rbf_layer_forward(
    features: Tensor,
    centers: Tensor,
    log_betas: Tensor,
    weight: Tensor,
    bias: Tensor,
    out: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/rbf_layer.cpp"""

def refit_normals(depth: Tensor, camera: Sequence[float], radius: int, jump: float, normal: Tensor, threads: int) -> None:
    """kernels/native/cpu/depth_maps.cpp"""

def region_walk(
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    occupied: Tensor,
    region: Tensor,
    kind: int,
    step: float,
    cone: float,
    first: Tensor,
    starts: Tensor | None,
    ends: Tensor | None,
    indices: Tensor | None,
    threads: int,
) -> None:
    """kernels/native/cpu/grid_walk.cpp"""

def sample_pdf(bins: Tensor, weights: Tensor, u: Tensor, offsets: Tensor, samples: Tensor, threads: int) -> None:
    """kernels/native/cpu/sampling.cpp"""

def solve_beta(
    sdf: Tensor,
    t: Tensor,
    offsets: Tensor,
    beta: Tensor,
    epsilon: float,
    iterations: int,
    result: Tensor,
    threads: int,
) -> None:
    """kernels/native/cpu/laplace.cpp"""
