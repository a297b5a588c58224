"""The interface of tinycudann (its PyTorch bindings) over our kernels, on any device: a build without half precision."""

from .modules import Encoding, Module, Network, NetworkWithInputEncoding, free_temporary_memory, supports_jit_fusion

__all__ = ["Encoding", "Module", "Network", "NetworkWithInputEncoding", "free_temporary_memory", "supports_jit_fusion"]
