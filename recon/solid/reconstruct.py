"""The one function: a closed surface, and curves where there are any, to a solid."""

from __future__ import annotations

from recon.solid.model import SolidInput, SolidOptions, SolidResult


def reconstruct_solid(surface: SolidInput, options: SolidOptions) -> SolidResult:
    """See :class:`SolidInput`, :class:`SolidOptions` and :class:`SolidResult`.

    Raises:
        CapabilityError: Without OpenCASCADE (extra ``[cad]``).
        DataError: If the mesh is empty, not finite or not closed.
    """
    raise NotImplementedError
