"""The stills' tests are skipped where VTK cannot draw, and nowhere else."""

import subprocess
import sys

import pytest

from tests.viewer.offscreen import has_mesa, why_not


@pytest.mark.skipif(not has_mesa(), reason="no EGL here")
def test_the_skip_does_not_fire_where_there_is_mesa():
    pytest.importorskip("pyvista", reason="pictures of meshes need the extra [viewer]")
    assert why_not() is None


def test_a_process_that_drew_can_still_compute():
    """Torch loads Triton at the first custom op; after Mesa had loaded its own LLVM that was the end of the process."""
    if why_not() is not None:
        pytest.skip(str(why_not()))
    code = """
import numpy as np
from recon.data.scene import Camera
from recon.surface.mesh import Mesh
from viewer.stills import stage
mesh = Mesh(np.eye(3), np.array([[0, 1, 2]], np.int32))
with stage(mesh, None, shadings=("clay",)) as look:
    look(Camera(32, 32, 30.0, 30.0, 16.0, 16.0, np.concatenate([np.eye(3), [[0.0], [0.0], [-4.0]]], 1)))
import torch
import kernels
kernels.laplace_density(torch.zeros(4), torch.tensor(0.1))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
