"""Made-up scenes with exact ground truth, and the suites that evaluate on them."""

from scenes.export import write, write_truth
from scenes.library import SceneOptions, Truth, load, names, truth

__all__ = ["SceneOptions", "Truth", "load", "names", "truth", "write", "write_truth"]
