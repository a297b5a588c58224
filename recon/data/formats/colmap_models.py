"""COLMAP's camera models: what their parameters are, as :class:`~recon.data.listing.Intrinsics`. COLMAP's pixel centres are at +0.5.

Source: COLMAP's documentation of its camera models; the fisheye and division models checked against its own projection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recon.data.listing import FrameProblem, Intrinsics, Lens


@dataclass(frozen=True)
class Model:
    """Number in binary files, how many focal lengths come first (then cx, cy), how many more, and the lens that those make."""

    number: int
    focals: int
    more: int
    lens: Callable[[Sequence[float]], Lens]


def _k(*k: float) -> tuple[float, float, float, float, float, float]:
    a, b, c, d, e, f = (*k, *([0.0] * (6 - len(k))))
    return a, b, c, d, e, f


MODELS: dict[str, Model] = {
    "SIMPLE_PINHOLE": Model(0, 1, 0, lambda v: Lens()),
    "PINHOLE": Model(1, 2, 0, lambda v: Lens()),
    "SIMPLE_RADIAL": Model(2, 1, 1, lambda v: Lens(k=_k(*v))),
    "RADIAL": Model(3, 1, 2, lambda v: Lens(k=_k(*v))),
    "OPENCV": Model(4, 2, 4, lambda v: Lens(k=_k(*v[:2]), p=(v[2], v[3]))),
    "OPENCV_FISHEYE": Model(5, 2, 4, lambda v: Lens("fisheye", _k(*v))),
    "FULL_OPENCV": Model(6, 2, 8, lambda v: Lens("rational", _k(v[0], v[1], *v[4:]), (v[2], v[3]))),
    "FOV": Model(7, 2, 1, lambda v: Lens("fov", _k(*v)) if v[0] else Lens()),
    "SIMPLE_RADIAL_FISHEYE": Model(8, 1, 1, lambda v: Lens("fisheye", _k(*v))),
    "RADIAL_FISHEYE": Model(9, 1, 2, lambda v: Lens("fisheye", _k(*v))),
    "THIN_PRISM_FISHEYE": Model(10, 2, 8, lambda v: Lens("fisheye", _k(v[0], v[1], v[4], v[5]), (v[2], v[3]), (v[6], 0.0, v[7], 0.0))),
    "RAD_TAN_THIN_PRISM_FISHEYE": Model(11, 2, 12, lambda v: Lens("fisheye624", _k(*v[:6]), (v[6], v[7]), (v[8], v[9], v[10], v[11]))),
    "SIMPLE_DIVISION": Model(12, 1, 1, lambda v: Lens("division", _k(*v))),
    "DIVISION": Model(13, 2, 1, lambda v: Lens("division", _k(*v))),
    "SIMPLE_FISHEYE": Model(14, 1, 0, lambda v: Lens("fisheye")),
    "FISHEYE": Model(15, 2, 0, lambda v: Lens("fisheye")),
    "EUCM": Model(16, 2, 2, lambda v: Lens("eucm", _k(*v))),
}
NAMES = {model.number: name for name, model in MODELS.items()}
UNREADABLE = {17: "EQUIRECTANGULAR"}


def intrinsics(name: str, width: int, height: int, parameters: Sequence[float]) -> Intrinsics:
    """A camera of a COLMAP model.

    Raises:
        FrameProblem: An unknown model, or another number of parameters than it has.
    """
    model = MODELS.get(name)
    if model is None:
        raise FrameProblem(f"the camera model {name} is not read: undistort the images first (colmap image_undistorter)")
    if len(parameters) != model.focals + 2 + model.more:
        raise FrameProblem(f"the camera model {name} has {model.focals + 2 + model.more} parameters, found {len(parameters)}")
    focal, center, rest = parameters[: model.focals], parameters[model.focals : model.focals + 2], parameters[model.focals + 2 :]
    return Intrinsics(fx=focal[0], fy=focal[-1], cx=center[0], cy=center[1], width=width, height=height, lens=model.lens(rest))
