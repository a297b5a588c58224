"""Which device a name stands for; and that nothing but the listed edges assumes the CPU."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

import kernels
from recon import device
from recon.cli.main import main
from recon.errors import CapabilityError, UsageError
from tests import tiny

ROOT = Path(__file__).parents[2]
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


def test_the_cpu_is_there():
    assert device.choose("cpu").device == torch.device("cpu")
    assert device.plain_ops(torch.device("cpu")) == []


@NO_GPU
def test_without_a_gpu_auto_says_why_it_takes_the_cpu():
    choice = device.choose()
    assert choice.device.type == "cpu"
    assert "auto: torch" in choice.line


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "auto:1", "pretend"])
def test_names_that_are_none(name: str):
    with pytest.raises(UsageError, match="there is no such device"):
        device.choose(name)


@NO_GPU
@pytest.mark.parametrize("name", ["cuda", "cuda:3"])
def test_a_gpu_that_is_not_there(name: str):
    with pytest.raises(CapabilityError, match="torch"):
        device.choose(name)


@NO_GPU
@pytest.mark.parametrize("words", [["train", "DATA", "--device", "cuda"], ["reconstruct", "DATA", "--device", "cuda"]])
def test_a_command_that_asks_for_a_missing_gpu_ends_with_4(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = tiny.write_blender(tmp_path / "data")
    with pytest.raises(SystemExit) as ended:
        main([str(data) if w == "DATA" else w for w in words] + ["--out", str(tmp_path / "runs")])
    assert ended.value.code == 4
    said = capsys.readouterr().err
    assert said.count("error:") == 1
    assert "CUDA" in said or "GPU" in said
    assert not (tmp_path / "runs").exists()


class _Cuda:
    """A machine with two GPUs."""

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def device_count() -> int:
        return 2

    @staticmethod
    def get_device_name(which: torch.device) -> str:
        return f"GPU {which.index}"


def test_with_two_gpus(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "cuda", _Cuda)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(kernels, "available_backends", lambda where: ("cuda", "reference"))
    assert device.choose("auto") == device.Choice(torch.device("cuda:0"), "auto: GPU 0")
    assert device.choose("cuda").device == torch.device("cuda:0")
    assert device.choose("cuda:1") == device.Choice(torch.device("cuda:1"), "GPU 1")
    with pytest.raises(CapabilityError, match="2 GPUs"):
        device.choose("cuda:2")
    monkeypatch.setattr(kernels, "available_backends", lambda where: ("reference",))
    assert device.choose("auto").device == torch.device("cpu")
    assert "no kernels" in device.choose("auto").why


def test_steps_have_seeds_of_their_own():
    seeds = {device.step_seed(seed, step) for seed in range(20) for step in range(50)}
    assert len(seeds) == 1000
    assert all(0 <= s < 2**63 for s in seeds)
    assert device.step_seed(3, 7) == device.step_seed(3, 7)


FACTORIES = {
    "empty", "zeros", "ones", "full", "rand", "randn", "randint", "randperm", "arange", "linspace", "logspace", "eye", "tensor",
    "as_tensor", "scalar_tensor", "triu_indices", "tril_indices", "normal", "Generator",
}  # fmt: skip
ON_THE_CPU = {
    "recon/curves": "curves are found and fitted in numpy and float64",
    "recon/data": "pictures are read",
    "recon/evaluation": "figures are made in numpy",
    "recon/fit/truth.py": "true distances come from the mesh",
    "recon/stereo": "pictures and depth maps begin and end on the CPU; what is drawn from these is moved",
    "recon/photos": "cameras are found",
    "recon/rendering/hull.py": "silhouettes are looked at before training; the result is moved",
    "recon/checkpoint.py": "files are read",
    "recon/device.py": "the edge itself",
    "recon/model.py": "initial values are drawn on the CPU, the same for every device",
    "recon/fit/build.py": "initial values are drawn on the CPU, the same for every device",
}
START = {"__init__", "_level_spread", "_spread_neurons", "init_sphere", "mlp_init", "_linear_init", "sine_frequencies", "init_sphere_mlp"}
"""Functions that make initial values; constructors work on the CPU, then the whole is moved."""


def assumptions(source: str) -> list[str]:
    """Calls in a file's text that only work, or only make sense, on the CPU, outside of constructors."""
    tree, found = ast.parse(source), []

    def look(node: ast.AST, inside: tuple[str, ...]) -> None:
        if isinstance(node, ast.FunctionDef):
            inside = (*inside, node.name)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not START & set(inside):
            name, base = node.func.attr, node.func.value
            of_torch = isinstance(base, ast.Name) and base.id == "torch"
            if (of_torch and name in FACTORIES and "device" not in {k.arg for k in node.keywords}) or (name == "numpy" and not node.args):
                found.append(f"{node.lineno}: {ast.unparse(node)[:80]}")
        for child in ast.iter_child_nodes(node):
            look(child, inside)

    look(tree, ())
    return found


def test_nothing_but_the_edges_assumes_the_cpu():
    files = [p for package in ("recon", "viewer") for p in (ROOT / package).rglob("*.py")]
    assert len(files) > 100
    edges = tuple(ON_THE_CPU)
    wrong = {str(p.relative_to(ROOT)): assumptions(p.read_text()) for p in files if not str(p.relative_to(ROOT)).startswith(edges)}
    assert not {name: lines for name, lines in wrong.items() if lines}


def test_cuda_is_named_in_one_place():
    named = [p for p in (ROOT / "recon").rglob("*.py") if "torch.cuda" in p.read_text()]
    assert named == [ROOT / "recon" / "device.py"]


def test_the_scan_sees_what_it_should():
    source = "def f(x):\n    torch.zeros(3)\n    torch.zeros(3, device=x.device)\n    x.numpy()\ndef __init__(self):\n    torch.ones(2)\n"
    assert assumptions(source) == ["2: torch.zeros(3)", "4: x.numpy()"]
