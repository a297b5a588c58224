"""Made-up scenes with exact ground truth, and the suites that evaluate on them."""

from scenes.export import write, write_truth
from scenes.files import truth_from_file, write_file
from scenes.library import SceneOptions, Truth, load, names, photographed, truth, usual

__all__ = [
    "SceneOptions",
    "Truth",
    "load",
    "names",
    "photographed",
    "truth",
    "truth_from_file",
    "usual",
    "write",
    "write_file",
    "write_truth",
]
