"""nerfacc's own Python with our functions under it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from ..errors import CompatError
from . import additions, native, scans, segments, v03
from .v03 import contraction, cuda, grid, packing, volrend

MODULES_03 = {
    "cdf": packing,
    "contraction": contraction,
    "cuda": cuda,
    "grid": grid,
    "intersection": grid,
    "pack": packing,
    "ray_marching": grid,
    "vol_rendering": volrend,
}


def installed() -> str | None:
    """``"0.5"`` or ``"0.3"``: the interface of the nerfacc that a program would import; none where there is none."""
    module = sys.modules.get("nerfacc")
    spec = getattr(module, "__spec__", None) if module is not None else importlib.util.find_spec("nerfacc")
    if module is v03:
        return "0.3"
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(next(iter(spec.submodule_search_locations)))
    return "0.5" if (root / "estimators").is_dir() else "0.3"


def load() -> ModuleType:
    """Import nerfacc 0.5.x and put our functions under it.

    Raises:
        CompatError: It is not installed, or is 0.3.x.
    """
    found = installed()
    if found != "0.5":
        was = "nerfacc is not installed" if found is None else "the nerfacc that is installed is 0.3.x"
        raise CompatError(f"{was}; its interface since 0.5.2 needs its Python (no compiler, no CUDA): pip install nerfacc==0.5.3")
    backend = ModuleType("nerfacc.cuda._backend")
    backend._C = native  # type: ignore[attr-defined]
    sys.modules["nerfacc.cuda._backend"] = backend
    sys.modules["nerfacc.csrc"] = native
    nerfacc = importlib.import_module("nerfacc")
    importlib.import_module("nerfacc.cuda")._backend = backend  # type: ignore[attr-defined]
    nerfacc.csrc = native  # type: ignore[attr-defined]
    _replace("nerfacc.pack", {"pack_info": segments.pack_info})
    names = ("inclusive_sum", "exclusive_sum", "inclusive_prod", "exclusive_prod")
    _replace("nerfacc.scan", {name: getattr(scans, name) for name in names})
    volrend = importlib.import_module("nerfacc.volrend")
    if not hasattr(volrend, "accumulate_along_rays_"):
        volrend.accumulate_along_rays_ = additions.accumulate_along_rays_  # type: ignore[attr-defined]
    if importlib.util.find_spec("nerfacc.losses") is None:
        sys.modules["nerfacc.losses"] = additions
        nerfacc.losses = additions  # type: ignore[attr-defined]
    return nerfacc


def _replace(module: str, functions: dict[str, object]) -> None:
    """Put functions in the place of those of a module, also where other modules of the package have imported them."""
    home = importlib.import_module(module)
    old = {id(getattr(home, name)): function for name, function in functions.items()}
    for name, member in list(sys.modules.items()):
        if name.partition(".")[0] != "nerfacc" or member is native:
            continue
        for key, value in list(vars(member).items()):
            if id(value) in old:
                setattr(member, key, old[id(value)])


def load_03() -> ModuleType:
    """Put :mod:`.v03` in the place of nerfacc."""
    for name in [n for n in sys.modules if n.partition(".")[0] == "nerfacc"]:
        del sys.modules[name]
    sys.modules["nerfacc"] = v03
    for name, module in MODULES_03.items():
        sys.modules[f"nerfacc.{name}"] = module
    return v03
