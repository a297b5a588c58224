"""Parametric 3D curves: ``recon.curves.load("curves.json")`` reads what a reconstruction wrote."""

from recon.curves.files.curve import Curve
from recon.curves.files.wireframe import Wireframe, load, save

__all__ = ["Curve", "Wireframe", "load", "save"]
