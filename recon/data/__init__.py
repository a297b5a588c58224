"""Scenes from files: posed images in, :class:`Scene` out."""

from recon.data.scene import Camera, Scene, View

__all__ = ["Camera", "Scene", "View"]
