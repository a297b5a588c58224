"""Formfield: photographs of an object in; surface, wireframe and view out."""

__version__ = "0.1.0"
