"""The library's door: from data to a typed result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import recon
from recon.errors import UsageError
from recon.results.figures import read_results
from tests.tiny import CENTER, TINY_SETTINGS, write_blender


@pytest.mark.parametrize(("method", "kind"), [("volsdf", "signed distance"), ("radiance", "density")])
def test_reconstruct_says_where_everything_is(method, kind, tmp_path: Path):
    data = write_blender(tmp_path / "data")
    found = recon.reconstruct(data, method=method, out=tmp_path / "runs", settings=TINY_SETTINGS, pictures=False)
    assert found.results.content["method"] == method
    assert found.results == read_results(found.folder / "eval" / "results.json")
    assert found.folder.is_relative_to(tmp_path / "runs")
    assert (found.mesh is not None) == (method == "volsdf")
    assert found.curves is None
    loaded = found.load()
    assert loaded.kind == kind
    values = recon.load(str(found.folder)).query(CENTER[None]).values
    np.testing.assert_array_equal(values, loaded.query(CENTER[None]).values)


def test_a_setting_that_does_not_exist_is_refused_before_anything_is_written(tmp_path: Path):
    with pytest.raises(UsageError, match="nothing"):
        recon.reconstruct(write_blender(tmp_path / "data"), out=tmp_path / "runs", settings=["nothing=1"])
    assert not (tmp_path / "runs").exists()
