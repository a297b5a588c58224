"""Made-up scenes with exact ground truth, and the suites that evaluate on them."""
