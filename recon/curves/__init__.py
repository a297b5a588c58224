"""Parametric 3D curves: ``recon.curves.load("curves.json")`` reads what a reconstruction wrote."""

from recon.curves.curve import Curve
from recon.curves.wireframe import Wireframe, load, save

__all__ = ["Curve", "Wireframe", "load", "save"]
