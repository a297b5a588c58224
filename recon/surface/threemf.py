"""3MF for printing: a zip of XML with one object, as the core specification (3MF Consortium, 1.3) has it."""

from __future__ import annotations

import zipfile
from typing import BinaryIO
from xml.sax.saxutils import quoteattr

import numpy as np

from recon.geometry import Similarity
from recon.surface.mesh import Mesh, transform_mesh

CHUNK = 2**16
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_TYPES = (
    _XML + '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>'
)
_RELATIONS = (
    _XML + '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Target="/3D/3dmodel.model" Id="rel0" Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>'
)


def write_3mf(mesh: Mesh, file: BinaryIO, millimetres: float, name: str) -> None:
    """Write a mesh in millimetres, on the plate: the lowest corner of its box is the origin, because printers have no negative places.

    The description says where that is in the world. Numbers have eight digits: a part of a metre to ten nanometres.

    Args:
        mesh: World units, world axes; colours are left out, since printers of one material are what the format is used for.
        file: To write to.
        millimetres: In a world unit.
        name: Of the object.
    """
    low = mesh.vertices.min(0) if len(mesh.vertices) else np.zeros(3)
    placed = transform_mesh(mesh, Similarity(millimetres, translation=-millimetres * low))
    at = " ".join(f"{x:.10g}" for x in low)
    # A fixed time, so that the same mesh gives the same bytes.
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in (("[Content_Types].xml", _TYPES), ("_rels/.rels", _RELATIONS)):
            archive.writestr(_entry(path), text)
        with archive.open(_entry("3D/3dmodel.model"), "w", force_zip64=True) as model:

            def write(text: str) -> None:
                model.write(text.encode("utf-8"))

            write(
                _XML + '<model unit="millimeter" xml:lang="en-US" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02">'
                f'<metadata name="Application">formfield</metadata>'
                f'<metadata name="Description">the origin is at {at} of the world</metadata>'
                f"<resources>"
                f'<object id="1" type="model" name={quoteattr(name)}><mesh><vertices>'
            )
            for start in range(0, len(placed.vertices), CHUNK):
                part = placed.vertices[start : start + CHUNK]
                write(('<vertex x="%.8g" y="%.8g" z="%.8g"/>' * len(part)) % tuple(part.ravel().tolist()))
            write("</vertices><triangles>")
            for start in range(0, len(placed.faces), CHUNK):
                part = placed.faces[start : start + CHUNK]
                write(('<triangle v1="%d" v2="%d" v3="%d"/>' * len(part)) % tuple(part.ravel().tolist()))
            write('</triangles></mesh></object></resources><build><item objectid="1"/></build></model>')


def _entry(path: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
