"""nerfacc over our kernels: its own Python (versions 0.5.2 and later, which run no CUDA themselves) on the functions of :mod:`.native`.

``from kernels.compat.nerfacc import OccGridEstimator`` and every other name of nerfacc work after the package's Python has been
installed (``pip install nerfacc==0.5.3``); :mod:`.v03` is the interface of 0.3.x, complete in itself.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__") or find_spec(f"{__name__}.{name}"):  # the latter are imported as modules
        raise AttributeError(name)
    from .front import load

    return getattr(load(), name)
