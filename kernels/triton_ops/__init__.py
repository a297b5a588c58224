"""The ops in Triton: the raw functions, float32, on contiguous tensors that the caller allocates.

Importing this package needs Triton. ``kernels.device_ops`` gives the functions their gradients; their names and arguments are those of
every GPU backend.
"""
