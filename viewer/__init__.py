"""Looking at runs: live browser viewer, stills, turntables."""
