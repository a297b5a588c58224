"""Whether VTK can draw here without a display."""

from __future__ import annotations

import ctypes.util
import functools
import importlib.util
import subprocess
import sys

_TRIAL = "import pyvista as pv; p = pv.Plotter(off_screen=True); p.add_mesh(pv.Cube()); assert p.screenshot(return_img=True).std() > 0"


def has_mesa() -> bool:
    """The library that VTK draws with on a machine without a display."""
    return ctypes.util.find_library("EGL") is not None


@functools.cache
def why_not() -> str | None:
    """Why stills cannot be drawn, or None. Tried in a process of its own: without OpenGL, VTK may end the whole process."""
    if importlib.util.find_spec("pyvista") is None:
        return "pictures of meshes need the extra [viewer]"
    done = subprocess.run([sys.executable, "-c", _TRIAL], capture_output=True, timeout=120, check=False)
    return None if done.returncode == 0 else "VTK cannot draw here: apt-get install libegl1 libgl1-mesa-dri"
