"""Putting the stand-ins in place, and running programs that ask for CUDA; each in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import math
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kernels.compat import CompatError, install

ROOT = Path(__file__).parents[3]
PROGRAMS = Path(__file__).parent / "programs"
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens on a machine without a GPU")
with_nerfacc = pytest.mark.skipif(importlib.util.find_spec("nerfacc") is None, reason="needs nerfacc's Python: pip install nerfacc==0.5.3")


def run(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=120, env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    )


def compat(tmp_path: Path, source: str, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    (tmp_path / "program.py").write_text(source)
    return run("-m", "kernels.compat", "run", *options, tmp_path / "program.py", *arguments)


def test_importing_changes_nothing():
    done = run("-c", "import sys, kernels.compat; print([n for n in ('tinycudann', 'nerfacc') if n in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


@without_gpu
def test_install_puts_both_names_in_place():
    source = """
import kernels.compat as compat
report = compat.install(nerfacc="0.3")
import tinycudann as tcnn, nerfacc, tinycudann.modules, nerfacc.cuda
from nerfacc.intersection import ray_aabb_intersect
from nerfacc import ContractionType, OccupancyGrid, ray_marching
print(report, tcnn.Encoding(3, {"otype": "Identity"}).n_output_dims, nerfacc.__version__, tinycudann.modules.Module.__name__)
"""
    done = run("-c", source)
    assert done.returncode == 0, done.stderr
    assert "'tinycudann': 'ours'" in done.stdout
    assert "3 0.3.5 Module" in done.stdout


@with_nerfacc
def test_its_own_python_is_used_and_nothing_else_of_it_changes():
    source = """
import kernels.compat as compat
compat.install(force=True)
import nerfacc, nerfacc.cuda, inspect
from nerfacc.cuda._backend import _C
print(nerfacc.__version__, _C.__name__, nerfacc.pack_info.__module__, nerfacc.volrend.exclusive_prod.__module__)
print(nerfacc.rendering.__module__, nerfacc.OccGridEstimator.__module__)
from kernels.compat.nerfacc import OccGridEstimator
assert OccGridEstimator is nerfacc.OccGridEstimator
"""
    done = run("-c", source)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "kernels.compat.nerfacc.native kernels.compat.nerfacc.segments kernels.compat.nerfacc.scans" in lines[0]
    assert lines[1] == "nerfacc.volrend nerfacc.estimators.occ_grid"


def test_an_installation_that_can_run_stays(monkeypatch):
    module = type(sys)("tinycudann")
    monkeypatch.setitem(sys.modules, "tinycudann", module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert "left alone" in install(["tinycudann"])["tinycudann"]
    assert sys.modules["tinycudann"] is module
    monkeypatch.setitem(sys.modules, "tinycudann.modules", module)
    assert install(["tinycudann"], force=True) == {"tinycudann": "ours"}
    assert sys.modules["tinycudann"] is not module


@pytest.mark.parametrize(("arguments", "words"), [({"names": ["gsplat"]}, "gsplat.*tinycudann"), ({"nerfacc": "0.6"}, "0.6.*0.5, 0.3")])
def test_what_is_unknown_is_an_error(arguments, words):
    with pytest.raises(CompatError, match=words):
        install(**arguments)


def test_a_missing_package_is_named(tmp_path):
    (tmp_path / "nerfacc.py").write_text("")  # a module without its parts: as good as none
    source = """
import kernels.compat as compat
print(compat.install()["nerfacc"])
try: compat.install(nerfacc="0.5")
except RuntimeError as error: print(error)
"""
    done = run("-c", source, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("pip install nerfacc==0.5.3") == 2


DEVICES = """
import sys, threading, torch
dev = torch.device("cuda:0")
made = {
    "factory": torch.zeros(2, device="cuda:0"), "object": torch.rand(2, device=dev), "number": torch.ones(2, device=0),
    "like": torch.zeros_like(torch.ones(2), device="cuda"), "to": torch.ones(2).to("cuda"), "to number": torch.ones(2).to(0),
    "cuda": torch.ones(2).cuda(0), "pinned": torch.ones(2).pin_memory(), "new": torch.ones(2).new_zeros(2, device=dev),
    "type": torch.ones(2).type("torch.cuda.FloatTensor"), "legacy": torch.cuda.FloatTensor([1, 2]),
    "module": torch.nn.Linear(2, 2, device="cuda").to(dev).cuda().to(0).to(device="cuda:0").weight,
    "generator": torch.rand(2, generator=torch.Generator(device="cuda:0"), device="cuda"),
    "device of a number": torch.ones(2, device=torch.device(0)),
}
found = []
thread = threading.Thread(target=lambda: found.append(torch.ones(2, device="cuda")))
thread.start(); thread.join()
made["thread"] = found[0]
wrong = {name: str(t.device) for name, t in made.items() if t.device.type != "cpu"}
torch.save({"a": torch.ones(2)}, sys.argv[1])
for where in ("cuda:0", dev, {"cuda:0": "cuda:1"}, None):
    assert torch.load(sys.argv[1], map_location=where)["a"].device.type == "cpu"
torch.cuda.set_device(0); torch.cuda.synchronize(); torch.cuda.empty_cache(); torch.cuda.manual_seed_all(3)
start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
start.record(); end.record(); assert start.elapsed_time(end) >= 0
with torch.cuda.device(0), torch.cuda.stream(torch.cuda.Stream()), torch.cuda.amp.autocast(), torch.autocast("cuda", dtype=torch.float16):
    y = torch.nn.Linear(2, 1).cuda()(made["factory"])
scaler = torch.cuda.amp.GradScaler(2**10)
w = torch.nn.Parameter(torch.ones(2, device="cuda"))
optimizer = torch.optim.SGD([w], lr=0.5)
scaler.scale((w * 2).sum()).backward(); scaler.step(optimizer); scaler.update()
assert w.tolist() == [0, 0]
print("wrong", wrong, torch.cuda.max_memory_allocated(), torch.cuda.current_device(), __name__, sys.argv[2:])
sys.exit(5)
"""


@without_gpu
def test_requests_for_cuda_are_met_on_the_cpu_and_listed(tmp_path):
    done = compat(tmp_path, DEVICES, str(tmp_path / "saved.pt"), "--x", "1", options=("--nerfacc", "0.3"))
    assert done.returncode == 5, done.stderr
    assert done.stdout.strip() == "wrong {} 0 0 __main__ ['--x', '1']"
    start, _, end = done.stderr.partition("requests for CUDA")
    assert "tinycudann: ours" in start
    assert "no GPU" in start
    for line in ("torch.zeros(device=cuda:0): 1", "Module.cuda(): 2", "torch.Tensor.to(0): 1", "torch.cuda.synchronize(): 1"):
        assert line in end, done.stderr


STEPS = """
import resource, torch
for step in range(40):
    if step == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    x = torch.ones(4 << 20)
    y = (x + 1).exp()
    del x, y
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@without_gpu
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps memory in its own way")
def test_freed_memory_is_kept(tmp_path):
    """Page faults of thirty steps that make and free three tensors of 16 MB: ten times as many where they come from the system anew."""
    done = compat(tmp_path, STEPS, options=("--nerfacc", "0.3"))
    assert "memory: what is freed is kept" in done.stderr
    assert int(done.stdout) < 4096, done.stdout


LOOKS_FIRST = """
import pytest, torch
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")

@needs_cuda
def test_it():
    assert torch.cuda.device_count() == 1 and torch.cuda.get_device_properties(0).total_memory > 0
    w = torch.nn.Parameter(torch.ones(2, device="cuda:0"))
    scaler = torch.amp.GradScaler("cuda")
    with torch.random.fork_rng(), torch.autocast("cuda", dtype=torch.float16):
        y = w @ torch.rand(2, 2, device="cuda:0")
    assert y.dtype == torch.float32 and not scaler.is_enabled() and not torch.cuda.is_bf16_supported()
    scaler.scale(y.sum()).backward()
"""


@without_gpu
@pytest.mark.parametrize(("options", "result"), [((), "1 skipped"), (("--pretend-cuda",), "1 passed")])
def test_programs_that_look_for_a_gpu_first(tmp_path, options, result):
    (tmp_path / "test_looks.py").write_text(LOOKS_FIRST)
    arguments = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_looks.py")
    done = run("-m", "kernels.compat", "run", "--nerfacc", "0.3", *options, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert result in done.stdout
    assert ("is_available() answered True" in done.stderr) == bool(options)
    assert ("all the same" in done.stderr) == bool(options)


@without_gpu
@pytest.mark.parametrize("pretend", [False, True])
def test_everything_is_as_before_afterwards(pretend):
    from kernels.compat.devices import Ledger, cuda_on_cpu

    def parts():
        return torch.nn.Module.to, torch.Generator, torch.cuda.Event, torch.cuda.synchronize, torch.load, torch.random.fork_rng, available()

    def available():
        return torch.cuda.is_available, torch.cuda.device_count, torch.cuda.amp.common.amp_definitely_not_available

    before = parts()
    with cuda_on_cpu(Ledger(), pretend):
        assert torch.ones(1, device="cuda").device.type == "cpu"
        assert torch.cuda.is_available() == pretend
    assert parts() == before
    with pytest.raises((AssertionError, RuntimeError)):
        torch.ones(1, device="cuda")


@without_gpu
def test_modules_run_too_and_errors_are_the_programs_own(tmp_path):
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "__init__.py").write_text("")
    (tmp_path / "thing" / "part.py").write_text("import sys, thing, torch\nprint(sys.argv[1:], torch.ones(1, device='cuda'))")
    done = run("-m", "kernels.compat", "run", "--nerfacc", "0.3", "-m", "thing.part", "a", cwd=tmp_path)
    assert done.stdout.strip() == "['a'] tensor([1.])", done.stderr
    done = compat(tmp_path, "import torch\ntorch.ones(1, device='cuda')\nraise KeyError('mine')", options=("--nerfacc", "0.3"))
    assert done.returncode == 1
    assert "KeyError: 'mine'" in done.stderr
    assert "requests for CUDA" in done.stderr
    done = run("-m", "kernels.compat", "run", tmp_path / "absent.py")
    assert done.returncode == 2
    assert "absent.py: no such file" in done.stderr
    assert "Traceback" not in done.stderr


@without_gpu
def test_lightning_is_told_to_use_the_cpu(tmp_path):
    """A package of that name whose trainer keeps what it is given."""
    package = tmp_path / "pytorch_lightning" / "trainer"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("from .trainer.trainer import Trainer")
    (package / "__init__.py").write_text("")
    (package / "trainer.py").write_text("class Trainer:\n    def __init__(self, **kwargs): self.kwargs = kwargs")
    source = """
import pytorch_lightning as pl
trainer = pl.Trainer(devices=4, accelerator="gpu", strategy="ddp", precision=16, max_steps=3)
print(sorted(trainer.kwargs.items()))
"""
    done = compat(tmp_path, source, options=("--nerfacc", "0.3"))
    assert done.stdout.strip() == "[('accelerator', 'cpu'), ('devices', 1), ('max_steps', 3), ('precision', 32)]", done.stderr
    assert "Trainer(strategy=ddp): 1" in done.stderr


def sphere_scene(folder: Path, views: int, size: int) -> None:
    """A shaded ball before nothing, in the format of Blender."""
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
        frames = []
        for i in range(views):
            azimuth, height = 2 * math.pi * (i + 0.5 * (split == "test")) / views, 0.6 * math.sin(3.0 * i)
            back = np.array([math.cos(azimuth), math.sin(azimuth), height])
            back /= np.linalg.norm(back)
            right = np.cross([0, 0, 1.0], back)
            right /= np.linalg.norm(right)
            pose = np.eye(4)
            pose[:3] = np.stack([right, np.cross(back, right), back, 4 * back], 1)
            focal = 0.5 * size / math.tan(0.3)
            v, u = np.mgrid[:size, :size] + 0.5
            d = np.stack([(u - size / 2) / focal, -(v - size / 2) / focal, -np.ones_like(u)], -1) @ pose[:3, :3].T
            d /= np.linalg.norm(d, axis=-1, keepdims=True)
            b = d @ pose[:3, 3]
            root = b * b - 16 + 0.8**2
            point = pose[:3, 3] + d * (-b - np.sqrt(np.maximum(root, 0)))[..., None]
            rgba = np.concatenate([0.5 + 0.5 * point / 0.8, (root > 0)[..., None]], -1)
            Image.fromarray((rgba.clip(0, 1) * 255).astype(np.uint8), "RGBA").save(folder / split / f"r_{i}.png")
            frames.append({"file_path": f"./{split}/r_{i}", "transform_matrix": pose.tolist()})
        (folder / f"transforms_{split}.json").write_text(json.dumps({"camera_angle_x": 0.6, "frames": frames}))


@with_nerfacc
@without_gpu
def test_a_program_written_for_cuda_trains(tmp_path):
    sphere_scene(tmp_path / "scene", 24, 32)
    options = [
        "--steps",
        "80",
        "--samples",
        "8192",
        "--log2-hashmap-size",
        "12",
        "--grid",
        "24",
        "--test-views",
        "2",
        "--step-size",
        "0.04",
    ]
    done = run("-m", "kernels.compat", "run", PROGRAMS / "train_ngp.py", tmp_path / "scene", *options)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) > 18, done.stdout
    assert "torch.device(cuda:0): 1" in done.stderr


@without_gpu
def test_a_surface_program_of_the_older_interface_trains(tmp_path):
    """The ball has a radius of 0.8; the eikonal loss differentiates the grid's gradient again."""
    sphere_scene(tmp_path / "scene", 24, 32)
    done = run("-m", "kernels.compat", "run", "--nerfacc", "0.3", PROGRAMS / "train_neus.py", tmp_path / "scene", "--steps", "60")
    assert done.returncode == 0, done.stderr
    _, radius, _, spread = done.stdout.splitlines()[-1].split()
    assert abs(float(radius) - 0.8) < 0.1, done.stdout
    assert float(spread) < 0.05
    assert float(done.stdout.splitlines()[-2].split()[5]) < 0.05, done.stdout
    assert "torch.randint(device=0): 180" in done.stderr
