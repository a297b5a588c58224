"""Stand-ins for tinycudann and nerfacc over our kernels, so that programs written for them run on any machine.

``import kernels.compat as compat; compat.install()`` before the program imports them, or ``python -m kernels.compat run SCRIPT ...``.
"""

from .errors import CompatError
from .install import install

__all__ = ["CompatError", "install"]
