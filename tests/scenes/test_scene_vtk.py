"""Outlines against an independent renderer (VTK, which comes with the extras ``[cad]`` and ``[viewer]``)."""

import numpy as np
import pytest

import scenes
from scenes import library
from scenes.library import SceneOptions
from scenes.making.materials import PLAIN
from scenes.making.render import render_linear
from scenes.making.tracing import tracer

vtk = pytest.importorskip("vtk")
FINE = 4


def vtk_coverage(vertices, faces, camera):
    """Coverage of the pixels by VTK: a white silhouette drawn four times finer, averaged. [H, W]"""
    from vtk.util import numpy_support

    middle = vertices.mean(0)
    points, triangles, data = vtk.vtkPoints(), vtk.vtkCellArray(), vtk.vtkPolyData()
    points.SetDataTypeToDouble()
    points.SetData(numpy_support.numpy_to_vtk(vertices - middle, deep=True))
    offsets, corners = np.arange(0, 3 * len(faces) + 1, 3), faces.astype(np.int64).ravel()
    triangles.SetData(*(numpy_support.numpy_to_vtkIdTypeArray(a.astype(np.int64), deep=True) for a in (offsets, corners)))
    data.SetPoints(points)
    data.SetPolys(triangles)
    mapper, actor, renderer, window = vtk.vtkPolyDataMapper(), vtk.vtkActor(), vtk.vtkRenderer(), vtk.vtkRenderWindow()
    mapper.SetInputData(data)
    actor.SetMapper(mapper)
    actor.GetProperty().LightingOff()
    renderer.AddActor(actor)
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetSize(camera.width * FINE, camera.height * FINE)
    window.AddRenderer(renderer)
    eye, rotation, view = camera.center - middle, camera.world_from_camera[:, :3], renderer.GetActiveCamera()
    view.SetPosition(*eye)
    view.SetFocalPoint(*(eye + rotation[:, 2]))
    view.SetViewUp(*-rotation[:, 1])
    view.SetViewAngle(np.degrees(2 * np.arctan(camera.height / 2 / camera.fy)))
    view.SetWindowCenter(1 - 2 * camera.cx / camera.width, 2 * camera.cy / camera.height - 1)
    view.SetClippingRange(0.2 * np.linalg.norm(eye), 3 * np.linalg.norm(eye))
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    pixels = numpy_support.vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars())
    fine = pixels.reshape(camera.height * FINE, camera.width * FINE, -1)[::-1, :, 0] / 255.0
    return fine.reshape(camera.height, FINE, camera.width, FINE).mean((1, 3))


@pytest.mark.parametrize("name", ["bracket", "gear", "rings"])
def test_silhouettes_agree_with_vtk(name):
    """The signed difference of coverage, summed over the picture, over the length of the outline is the mean shift of the outline."""
    known = scenes.truth(name)
    ready = tracer(known.solid)
    shifts = []
    for camera in library.cameras(known, SceneOptions(200, 160, train=3, test=1, principal_jitter_px=5.0))[0]:
        other = vtk_coverage(known.vertices, known.faces, camera)
        if other.max() == 0:
            pytest.skip("VTK draws nothing on this machine")
        _, alpha = render_linear(ready, camera, PLAIN, 4)
        outline = ((alpha > 0) & (alpha < 1)).sum()  # about one partly covered pixel for each pixel of outline
        shifts.append(np.abs(alpha - other).sum() / outline)
        assert np.abs(alpha - other).max() < 0.3
        assert abs((alpha - other).sum()) / outline < 0.02
    assert np.mean(shifts) < 0.1
