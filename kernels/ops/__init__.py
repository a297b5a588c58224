"""The ops: contract, checks, autograd and the choice of backend, one file each."""
