"""What a run is made of: frozen dataclasses, and presets that are plain values of them.

Reading and writing them is :mod:`recon.config.files`. The command line takes some of them as they are (:mod:`recon.cli.arguments`): a field
is a flag, its docstring the flag's help. Nothing here imports torch, so that ``--help`` is quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

MethodName = Literal["volsdf", "radiance", "nef"]
FieldName = Literal["hashgrid", "neurbf", "rbfnet", "mlp"]
PresetName = Literal["draft", "fast", "balanced", "paper"]
CurveFormat = Literal["json", "edges", "obj", "ply", "svg", "dxf", "step"]
TextureSource = Literal["photographs", "field"]
Unit = Literal["mm", "cm", "dm", "m", "km", "um", "in", "ft"]
MeshFormat = Literal["glb", "obj", "ply", "stl", "3mf"]
Up = Literal["+x", "-x", "+y", "-y", "+z", "-z", "world"]


@dataclass(frozen=True)
class DataConfig:
    """How images are read."""

    downscale: float = 1.0
    """Divide the image sizes by this."""
    max_size: int | None = None
    """Shrink images so that their longer side has at most this many pixels; None: what the preset can use, if they are not divided by
    anything."""
    usual_size: Annotated[int, tyro.conf.Suppress] = 2000
    """Longer side, pixels, where nothing is said: the preset's."""
    holdout: int = 8
    """Hold out every n-th view for testing where the dataset has no split of its own; 0 for none, as for an edge field."""
    use_masks: Annotated[bool, tyro.conf.arg(name="masks"), tyro.conf.FlagCreatePairsOff] = True
    """Whether object masks are used when the dataset has them; alpha always is: there is nothing behind it."""
    masks: str | None = None
    """A folder of masks; auto: made from plain backgrounds; none: none; None: the dataset's own, or those found beside the pictures."""
    mask_meaning: Literal["object", "ignore"] | None = None
    """object: white is the object. ignore: black is left out of the loss. None: what the dataset says, or what they look like."""
    axes: Literal["opencv", "opengl", "opencv-inverse", "opengl-inverse"] | None = None
    """Read the poses' matrices with these camera axes, or as their inverse; None: as their format has them."""
    unit: Unit | None = None
    """Unit of the world's lengths, kept in everything that is exported; None: what the dataset says."""
    scale: float = 1.0
    """The world's lengths are the dataset's times this: 0.001 turns millimetres into metres."""
    bounds: tuple[float, float, float, float] | None = None
    """Centre x y z and radius, in world units, of the sphere that holds the object; None: found from the images."""
    skip_bad_frames: bool = False
    """Leave out unreadable or contradictory frames with a warning instead of stopping."""
    views: int | None = None
    """Built-in scenes: photographs to train on, a quarter as many are held out; None: what is usual for the scene."""
    arc: float | None = None
    """Built-in scenes: the camera goes along an arc of so many degrees, 360 for a whole turn; None: what is usual for the scene."""
    exposure: float = 0.0
    """Built-in scenes: standard deviation of the photographs' exposures, stops."""
    noise: float = 0.0
    """Built-in scenes: standard deviation of the sensor's noise, as a share of the full range."""


@dataclass(frozen=True)
class GridConfig:
    """A multiresolution grid, as several fields have one."""

    levels: int = 14
    log2_table_size: int = 17
    base_resolution: int = 16
    finest_resolution: int = 1024
    interpolation: Literal["linear", "smoothstep"] = "linear"


@dataclass(frozen=True)
class HashGridConfig(GridConfig):
    """Multiresolution hash grid with a small MLP (Instant-NGP)."""

    features: int = 2
    """Features of a table entry."""
    hidden: tuple[int, ...] = (64,)
    """Widths of the MLP's hidden layers."""


@dataclass(frozen=True)
class MLPConfig:
    """Coordinate network with positional encoding (VolSDF's own: 8 x 256, skip at 4, weight norm)."""

    width: int = 256
    depth: int = 8
    skip: int = 4
    frequencies: int = 6


@dataclass(frozen=True)
class NeuRBFConfig(GridConfig):
    """Adaptive radial basis functions beside a hash grid (NeuRBF). The defaults are for scenes: continuous, and smooth."""

    functions: int = 40000
    """Number of radial functions."""
    features: int = 16
    """Features of a function."""
    neighbors: int = 6
    """Nearest functions that count at a point."""
    kernel: Literal["iq", "gauss", "hat"] = "iq"
    """Inverse quadratic, Gaussian, or N-linear hat."""
    shape: Literal["isotropic", "diagonal", "full"] = "isotropic"
    normalize: bool = True
    """Divide a function's value by the sum over the neighbours."""
    taper: bool = True
    """Fade functions out towards the next neighbour: without it the field jumps where the set of neighbours changes."""
    frequencies: tuple[float, float] | None = (1.0, 8.0)
    """Least and greatest frequency of the sine on the functions' values, radians; None: no sine."""
    trunk_frequencies: tuple[float, float] | None = None
    """The same for the sine on the network's first layer."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the network's hidden layers, at least one; at least two with trunk frequencies."""
    grid_features: int = 1
    """Features of a table entry of the grid."""
    feature_lr_factor: float = 1.0
    """Learning rate of grid and features, relative to the network's."""
    warmup_steps: int = 300
    """Scenes: steps of the grid alone before the functions are placed by what it has learnt."""


@dataclass(frozen=True)
class RBFNetConfig(GridConfig):
    """One layer of Gaussian neurons over the features of a grid (Gaussian RBFNet)."""

    neurons: int = 64
    linear: bool = True
    """Add a linear term in the features beside the neurons."""
    init: Literal["default", "paper"] = "default"
    """default: neurons spread over the features; paper: as released, all nearly alike at the start."""
    features: int = 2
    """Features of a table entry of the grid."""
    grid_init: float = 0.1
    """Default initialisation: entries of the coarsest table are uniform in plus and minus this, those of finer ones in less."""
    least_spread: float = 0.05
    """Default initialisation: a feature's spread counts as at least this when the neurons' widths are chosen."""
    neuron_lr_factor: float = 1.0
    """Learning rate of all but the grid, relative to it. Every neuron answers everywhere: a step of all of them moves the whole field by as
    much as there are neurons. 0.3 for surfaces, which would be pushed out of the scene."""


@dataclass(frozen=True, kw_only=True)
class FieldsConfig:
    """Which field a run or a fit is made with, and the settings of every one."""

    field: FieldName = "hashgrid"
    hashgrid: HashGridConfig = HashGridConfig()
    neurbf: NeuRBFConfig = NeuRBFConfig()
    rbfnet: RBFNetConfig = RBFNetConfig()
    mlp: MLPConfig = MLPConfig()


@dataclass(frozen=True)
class BackgroundConfig:
    """What lies outside the unit sphere, where neither alpha, masks nor a constant colour tell: a second, contracted hash grid."""

    samples: int = 64
    """Samples per ray, uniform in inverse radius."""
    levels: int = 10
    log2_table_size: int = 16
    finest_resolution: int = 512


@dataclass(frozen=True)
class VolSDFConfig:
    """Volume rendering of a signed distance (Yariv et al. 2021)."""

    sampling: Literal["occupancy", "algorithm1"] = "occupancy"
    """occupancy: intervals in occupied space, cut where the opacity error's bound asks for it. algorithm1: VolSDF's, over whole rays."""
    first_step: float = 0.0156
    """Occupancy sampling: length of intervals before they are cut, scene units."""
    epsilon: float = 0.3
    """Occupancy sampling: opacity error that a ray may have."""
    rounds: int = 3
    """Occupancy sampling: how often an interval may be cut in three."""
    colors: Literal["fast", "paper"] = "fast"
    """fast: two fused layers of 64 on spherical harmonics. paper: VolSDF's radiance network, 4 x 256 with weight norm."""
    color_levels: int = 6
    """Fast colours: levels of a hash grid of their own, so that fine texture need not pass through the shape's; 0 for none."""
    color_log2_table_size: int = 17
    color_base_resolution: int = 64
    color_finest_resolution: int = 2048
    shell_radius: float | None = None
    """Put everything into a solid shell of this radius, scene units, instead of learning a background; it must hold all cameras (VolSDF on
    DTU). None: no shell."""
    density: Literal["even", "laplace"] = "even"
    """even: half of a ray's light is left on the zero set, whatever the angle at which it meets the surface. laplace: VolSDF's, of the
    distance alone: the outline lies 2.7 beta too deep."""
    beta_learnt: Literal["log", "absolute"] = "log"
    """log: the logarithm of beta is learnt, above a floor that sinks from beta_floor to beta_min. absolute: |beta| + beta_min (VolSDF)."""
    beta_init: float = 0.05
    """Initial value of the learnt part of the Laplace density's scale, scene units."""
    beta_floor: float = 0.01
    """Added to the learnt part at the start, scene units; sinks exponentially to beta_min while coarse_until of the run passes."""
    beta_min: float = 1e-4
    """Added to the learnt part from then on (VolSDF's constant)."""
    hull_beta_init: float = 0.015
    """beta_init where the field starts as the visual hull (alpha or masks), and has less far to go."""
    hull_beta_floor: float = 0.003
    """The same for beta_floor."""
    hull_beta_ceiling: float = 0.002
    """What the learnt part is at most after coarse_until, scene units, where silhouettes are known; until then at most what lies
    exponentially between beta_init and this. beta learns how wide a pixel is, a quarter of it; in that fog the zero set of a short run
    on small photographs lies too deep."""
    eikonal_weight: float = 0.02
    """Weight of the mean of (|grad sdf| - 1)^2. VolSDF's 0.1 holds a short run back: concave parts are carved too late."""
    curvature_weight: float = 0.0
    """Weight of the mean of 1 - cos between the normals at a sample and at a point beside it; grows from 0 during the first fifth of a
    run and fades after its half: from the start it would keep the shape from forming."""
    curvature_step: float = 0.004
    """Distance of the point beside it, along the tangent plane, scene units."""
    curvature_points: float = 0.125
    """Share of the samples along rays at which it is looked at."""
    exposure: bool = False
    """Learn a gain per training photograph and colour channel; held-out views are rendered at the mean. For automatic exposure."""
    free_space_weight: float = 1.0
    """Weight of how far inside the surface rays with alpha 0 get, scene units: at a random point, and at their innermost sample."""
    background_preference: float = 0.01
    """Where a background is learnt: weight of the rays' mean opacity. What surface and background explain as well as each other (an
    overexposed table) goes to the background; it costs what an error of this size in the colours costs."""
    squared_weight: float = 10.0
    """Where a background is learnt: weight of the squared colour error beside the absolute one, growing from 0 at 0.3 of a run to this at
    0.6. It fits fine texture better, and blurs the surface by a little: where silhouettes tell the shape, shape comes first."""
    init_radius: float = 0.5
    """Radius of the sphere that the field starts as, scene units."""
    features: int = 15
    """Length of the feature handed to the colour network."""
    levels_init: float = 0.35
    """Share of the field's levels that are active at the start."""
    coarse_until: float = 0.4
    """Share of the run after which all levels are active."""
    beta_lr_factor: float = 3.0
    """Learning rate of beta's logarithm, relative to the rest. At 1 it is still on its way when a short run ends, and the fog that is left
    makes the zero set too deep and the texture blurred."""
    uniform_points: float = 0.125
    """Eikonal points drawn uniformly in the sphere, as a share of the samples along rays."""
    agreement_weight: float = 0.3
    """Weight of how much photographs disagree about windows of the surface, 1 - NCC; grows from 0 at 0.1 of a run to this at 0.3. 0: they
    are not compared."""


@dataclass(frozen=True)
class RadianceConfig:
    """Density and view-dependent colour (NeRF on the chosen field)."""

    head: Literal["network", "harmonics"] = "network"
    """network: a small colour network sees the direction and the field's feature. harmonics: the field gives the colour itself, as 16
    coefficients of spherical harmonics per channel (GNF's radiance decoder; with rbfnet.neurons=32 it is theirs)."""
    features: int = 15
    """Length of the feature handed to the colour network."""
    step: float = 0.0034
    """Marching step, scene units (sqrt(3) * 2 / 1024 as in Instant-NGP)."""


@dataclass(frozen=True)
class NEFConfig:
    """Neural edge field (Ye et al. 2023): a view-independent edge probability learnt from 2D edge maps."""

    edges: str | None = None
    """Where the 2D edges come from: "given", "given:FOLDER", "auto", "surface:RUN"; None: given where the dataset has maps, else auto."""
    map_size: int = 400
    """Edge maps are averaged down until their longer side is at most this, pixels (NEF trains at 400)."""
    importance: float = 0.5
    """Share of the rays that is drawn by importance rather than uniformly (EMAP's half)."""
    sampling: Literal["occupancy", "hierarchical"] = "occupancy"
    """occupancy: march where the edge probability is not small. hierarchical: NEF's coarse and fine models over dense samples."""
    coarse_samples: int = 64
    fine_samples: int = 64
    """Samples per ray of the hierarchical sampling."""
    features: int = 15
    """Length of the feature handed to the grey network."""
    step: float = 0.008
    """Marching step of the occupancy sampling, scene units: a line two pixels wide in a map of 400 is about 0.02 across."""
    occupancy_from: int = 160
    """Steps before any cell is left out: a field is first fog everywhere, then edges stand out and the rest clears."""
    beta_init: float = 0.1
    """Initial value of the learnt scale of the density."""
    beta_lr_factor: float = 1.0
    consistency_weight: float = 1.0
    """Weight of the mean of (c - e)^2."""
    sparsity_weight: float = 0.01
    """Weight of the Cauchy term on samples of rays without an edge."""


@dataclass(frozen=True)
class CurvesConfig:
    """From an edge field and 2D edges to parametric curves."""

    keep_silhouettes: bool = False
    """Keep outlines of smooth surfaces, which lie at another place of the object in every view."""


@dataclass(frozen=True)
class TrainConfig:
    """The optimisation loop."""

    steps: int = 3000
    samples_per_step: int = 65536
    """Samples along rays per step that the number of rays is adapted to."""
    max_rays: int = 16384
    lr: float = 1e-2
    lr_final: float = 0.03
    """Share of the learning rate left at the end."""
    warmup_steps: int = 50
    decay_from: float = 0.3
    """Share of the run after which the learning rate decays exponentially."""
    occupancy_resolution: int = 128
    occupancy_every: int = 16
    checkpoint_every: int = 1000
    """Steps between checkpoints."""
    checkpoint_seconds: float = 120.0
    """And seconds between them at most, so that a crash loses no more than that; what a checkpoint holds does not depend on it."""
    keep_checkpoints: int = 2
    log_every: int = 20
    lr_halvings: tuple[float, ...] | None = None
    """Shares of the run after which the learning rate is halved, instead of the exponential decay."""
    beta2: float = 0.99
    """Decay of Adam's average of squared gradients."""
    eps: float = 1e-15
    """Adam's epsilon; tiny because gradients of table entries are tiny."""


@dataclass(frozen=True)
class StereoConfig:
    """Depth from the photographs before a surface is trained: its start, and evidence on the way."""

    use: Literal["auto", "on", "off"] = "auto"
    """auto: where neither alpha nor masks tell the object's outline."""
    pixels: int = 6_000_000
    """Compared in all views together; larger photographs are shrunk. A core does about 150 000 a second."""
    max_size: int = 800
    """Longer side of a photograph at most, pixels."""
    start: bool = True
    """Start the surface from it."""
    weight: float = 1.0
    """Weight of its evidence in training; 0: none."""


@dataclass(frozen=True)
class ExportConfig:
    """The mesh and its texture."""

    resolution: int = 512
    """Cells along the longest axis, up to 2048."""
    keep: Literal["largest", "all"] = "largest"
    """Keep the largest connected component only, or all above a small share of the area."""
    support: Literal["cut", "keep"] = "cut"
    """Where the background was learnt: cut off the flat table or wall that the object stands on, or keep it."""
    closed: Literal["auto", "yes", "no"] = "auto"
    """Where stereo was used: keep the closed surface, or trim it to what was seen. auto: trim if all cameras stand on one side, it was not
    cut off from what it stands on, and what was seen goes on: there is free space behind too little of its outline."""
    texture_size: int = 2048
    """Side of the texture, pixels."""
    texture_faces: Annotated[int, tyro.conf.arg(name="faces")] = 60000
    """Face budget of the textured mesh (.glb, .obj); the .ply, .stl and .3mf keep all."""
    texture: TextureSource = "photographs"
    """Colours of the texture. photographs: those that come nearest to all training photographs, and the field's where none sees. field: as
    they were learnt."""
    up: Up | None = None
    """World axis that is up in the .glb, which stands on its origin. None: what is up in the photographs. world: the world's own axes and
    place, as all other formats have them."""


@dataclass(frozen=True)
class ResultsConfig:
    """What is made of a run beside its surface or curves."""

    eval_views: int = 50
    """Compare with at most so many of the held-out photographs; 0: with all."""
    turn_frames: int = 36
    """Pictures of the turntable."""
    turn_size: int = 400
    """Their longer side, pixels."""


@dataclass(frozen=True, kw_only=True)
class RunConfig(FieldsConfig):
    """Everything that decides a run's result, beside the data."""

    method: MethodName = "volsdf"
    preset: PresetName = "fast"
    seed: int = 0
    data: DataConfig = DataConfig()
    background: BackgroundConfig = BackgroundConfig()
    volsdf: VolSDFConfig = VolSDFConfig()
    radiance: RadianceConfig = RadianceConfig()
    nef: NEFConfig = NEFConfig()
    curves: CurvesConfig = CurvesConfig()
    train: TrainConfig = TrainConfig()
    stereo: StereoConfig = StereoConfig()
    export: ExportConfig = ExportConfig()
    results: ResultsConfig = ResultsConfig()
