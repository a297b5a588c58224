"""The presets: plain values of the configuration. Nothing here imports torch, so that ``--help`` is quick."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recon.config.values import DataConfig, FieldName, MethodName, MLPConfig, PresetName, ResultsConfig, RunConfig
from recon.errors import UsageError

USUAL_SIZE: dict[PresetName, int] = {"draft": 800, "fast": 1200}
"""Longer side of photographs for a surface or a view, pixels. These presets draw some five million rays, a tenth of the pixels of fifty
photographs of this size; of larger ones they see less, and comparing and rendering take longer than training."""


def preset_config(method: MethodName, field_name: FieldName | None, preset: PresetName) -> RunConfig:
    """The values of a preset; :mod:`recon.config.timing` says what each gives and how long it takes.

    Without a field it is the hash grid, or for NEF and VolSDF as published their own coordinate networks.
    """
    if field_name is None:
        field_name = "mlp" if method in ("nef", "volsdf") and preset == "paper" else "hashgrid"
    if method == "nef":
        return _edge_preset(field_name, preset)
    config = RunConfig(method=method, field=field_name, preset=preset)
    # A sample costs a surface twice what it costs a radiance field: second-order gradients.
    samples = 32768 if method == "volsdf" else 65536
    if (method, field_name) == ("volsdf", "rbfnet") and preset != "paper":
        # Gaussian neurons are steep in their features: at the usual rate the slope of the distance runs away, and the surface vanishes.
        config = replace(config, rbfnet=replace(config.rbfnet, neuron_lr_factor=0.3), train=replace(config.train, lr=2e-3))
    if (method, field_name) == ("volsdf", "mlp"):
        # Evened over the angles, the first fog teaches a coordinate network less: after 80 steps of a tiny scene three times the error.
        config = replace(config, volsdf=replace(config.volsdf, density="laplace"))
    if preset in USUAL_SIZE:
        config = replace(config, data=replace(config.data, usual_size=USUAL_SIZE[preset]))
    if preset == "draft":
        return _quick(replace(config, train=replace(config.train, steps=500, samples_per_step=samples // 2)))
    if preset == "fast":
        steps = 2000 if method == "volsdf" else 1800
        return replace(config, train=replace(config.train, steps=steps, samples_per_step=samples))
    if preset == "balanced":
        return replace(
            config,
            hashgrid=replace(config.hashgrid, levels=16, log2_table_size=18, finest_resolution=2048),
            train=replace(config.train, steps=4000 if method == "volsdf" else 7000, samples_per_step=samples),
            export=replace(config.export, resolution=768, texture_size=4096, texture_faces=120000),
        )
    return replace(
        config,
        hashgrid=replace(config.hashgrid, levels=16, log2_table_size=19, finest_resolution=2048),
        volsdf=replace(
            config.volsdf,
            sampling="algorithm1",
            colors="paper",
            density="laplace",
            features=256 if field_name == "mlp" else config.volsdf.features,
            eikonal_weight=0.1,
            free_space_weight=0.0,
            background_preference=0.0,
            squared_weight=0.0,
            agreement_weight=0.0,
            beta_learnt="absolute",
            beta_init=0.1,
            beta_lr_factor=1.0 if field_name == "mlp" else 0.05,
            levels_init=1.0,
        ),
        train=replace(
            config.train,
            steps=100000,
            samples_per_step=1 << 20,  # never reached: the number of rays is fixed by max_rays
            max_rays=1024,
            lr=5e-4 if field_name == "mlp" else 1e-2,
            lr_final=0.1,
            decay_from=0.0,
            warmup_steps=0,
            beta2=0.999,
            eps=1e-8 if field_name == "mlp" else 1e-15,
        ),
        export=replace(config.export, texture_size=4096),
    )


def _edge_preset(field_name: FieldName, preset: PresetName) -> RunConfig:
    """NEF's. Published: 6 epochs of 1024 rays over 50 views of 400 x 400, halvings after 2 and 4 epochs.

    No view is held out: a photograph says nothing about an edge field that was not trained on it, and every view makes the curves better.
    """
    # A wireframe can do without some views; they are named in warnings.
    data = DataConfig(holdout=0, skip_bad_frames=True)
    config = RunConfig(method="nef", field=field_name, preset=preset, mlp=MLPConfig(frequencies=10), data=data)
    if preset == "paper":
        return replace(
            config,
            nef=replace(config.nef, sampling="hierarchical", importance=0.0),
            train=replace(
                config.train,
                steps=46878,
                samples_per_step=1 << 20,  # never reached: the number of rays is fixed by max_rays
                max_rays=1024,
                lr=5e-4,
                warmup_steps=0,
                lr_halvings=(1 / 3, 2 / 3),
                beta2=0.999,
                eps=1e-8,
            ),
        )
    # Edges are drawn some ten times as often as NEF draws them, which weighs the loss on pixels as much more: sparsity follows in part,
    # and beta is learnt slowly, else it makes fog that must be cleared again.
    edges = replace(config.nef, sparsity_weight=0.03, beta_lr_factor=0.1)
    # An edge field is small beside a surface: few levels, and cells no finer than the lines of the maps are wide.
    grid = replace(config.hashgrid, levels=10, finest_resolution=512, hidden=(32,))
    steps = {"draft": 300, "fast": 800, "balanced": 2500}[preset]
    lr = 5e-4 if field_name == "mlp" else 1e-2
    train = replace(config.train, steps=steps, samples_per_step=32768, lr=lr)
    config = replace(config, nef=edges, hashgrid=grid, train=train)
    return _quick(config) if preset == "draft" else config


def _quick(config: RunConfig) -> RunConfig:
    """Little is made of a draft: coarse cells, few faces, few pictures."""
    export = replace(config.export, resolution=192, texture_size=1024, texture_faces=20000)
    return replace(config, export=export, results=ResultsConfig(eval_views=4, turn_frames=12, turn_size=240))


def with_edges(config: RunConfig, edges: str | None, keep_silhouettes: bool) -> RunConfig:
    """A preset with what is only said of edge fields.

    Args:
        config: The preset.
        edges: Where 2D edges come from, see :class:`~recon.config.values.NEFConfig`; None: as configured.
        keep_silhouettes: Keep outlines of smooth surfaces.
    Raises:
        UsageError: If it is said of another method.
    """
    if config.method != "nef" and (edges is not None or keep_silhouettes):
        raise UsageError(f"--edges and --keep-silhouettes are for edge fields, not for {config.method}", "add --method nef")
    if edges is not None:
        kind, colon, path = edges.partition(":")
        # Another working directory must not change what a run was made from; maps may be named by their folder in the dataset.
        found = f"surface:{Path(path).resolve()}" if kind == "surface" and colon else edges
        config = replace(config, nef=replace(config.nef, edges=found))
    return replace(config, curves=replace(config.curves, keep_silhouettes=True)) if keep_silhouettes else config
