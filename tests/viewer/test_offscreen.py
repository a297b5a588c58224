"""The stills' tests are skipped where VTK cannot draw, and nowhere else."""

import pytest

from tests.viewer.offscreen import has_mesa, why_not


@pytest.mark.skipif(not has_mesa(), reason="no EGL here")
def test_the_skip_does_not_fire_where_there_is_mesa():
    pytest.importorskip("pyvista", reason="pictures of meshes need the extra [viewer]")
    assert why_not() is None
