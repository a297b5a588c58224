"""``python -m recon``: the same as the command ``recon``."""

from recon.cli.main import main

main()
