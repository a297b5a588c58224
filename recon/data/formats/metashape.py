"""Agisoft Metashape's cameras as XML (File, Export, Export Cameras): sensors with a calibration, cameras with a transform.

A camera's ``transform`` is camera-to-chunk with OpenCV axes, the chunk's own ``transform`` (rotation, translation, scale) chunk-to-world.
Pixel centres are at +0.5; ``cx``, ``cy`` are from the picture's middle. Metashape's p1 and p2 are OpenCV's p2 and p1; b1 and b2 are an
affine part: fx = f + b1, skew = b2. Source: Metashape's user manual, appendix "Camera models".
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from recon.data.formats.base import Claim
from recon.data.formats.files import Files, first_line, read_text
from recon.data.formats.numbers import floats
from recon.data.listing import Findings, Frame, FrameProblem, Intrinsics, Lens, Listing
from recon.geometry import Similarity

FORMAT = "metashape"
FILES = "*.xml (Metashape: Export Cameras)"


def owns(path: Path) -> Claim | None:
    if path.is_file():
        return Claim(path.parent, path) if path.suffix.lower() == ".xml" and _is_export(path) else None
    file = next((f for f in (sorted(path.glob("*.xml")) if path.is_dir() else []) if _is_export(f)), None)
    return None if file is None else Claim(path, file)


def read(claim: Claim, findings: Findings) -> Listing:
    """List the first chunk; cameras without a transform were not aligned and are left out with a warning."""
    file, files = claim.source, Files(claim.root)
    text = read_text(file, findings)
    tree = None if text is None else _parse(text, file, findings)
    chunk = None if tree is None else next(tree.iter("chunk"), None)
    if chunk is None:
        if tree is not None:
            findings.fatal.append(f"{file.name}: has no chunk: export it with File, Export, Export Cameras")
        return Listing(claim.root, FORMAT, ())
    sensors = {sensor.get("id"): sensor for sensor in chunk.iter("sensor")}
    cameras = [camera for camera in chunk.iter("camera") if camera.get("sensor_id") is not None]
    try:
        world_from_chunk = _similarity(chunk.find("transform"))
        components = {c.get("id"): _similarity(c.find("transform")) for c in chunk.findall("components/component")}
    except FrameProblem as problem:
        findings.fatal.append(f"{file.name}: {problem}")
        return Listing(claim.root, FORMAT, ())
    folder = files.image_folder([camera.get("label") or "" for camera in cameras], ("images", "image", "rgb", "photos", ""))
    frames, unaligned = [], 0
    for camera in cameras:
        label = camera.get("label") or ""
        where = f"{file.name} camera {camera.get('id')} ({label})"
        if camera.find("transform") is None:
            unaligned += 1
            continue
        try:
            name, path = files.locate(f"{folder}/{label}" if folder else label, "label", ".jpg")
            matrix = floats((camera.findtext("transform") or "").split(), "transform", 16).reshape(4, 4)
            sensor = sensors.get(camera.get("sensor_id"))
            if sensor is None:
                raise FrameProblem(f"its sensor {camera.get('sensor_id')} is missing")
            chunk_from_component = components.get(camera.get("component_id"), Similarity())
            pose = world_from_chunk.apply_to_pose(chunk_from_component.apply_to_pose(matrix[:3]))
            frames.append(Frame(where, name, path, pose, _intrinsics(sensor)))
        except FrameProblem as problem:
            findings.bad.append((where, str(problem)))
    if unaligned:
        findings.warnings.append(f"{unaligned} of {len(cameras)} pictures were not aligned by Metashape and are left out")
    return Listing(claim.root, FORMAT, tuple(frames))


def _parse(text: str, file: Path, findings: Findings) -> ElementTree.Element | None:
    """The XML's tree. A document type is refused before anything is parsed: with it goes every entity that could be expanded."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        findings.fatal.append(f"{file.name}: has a document type with entities, which Metashape never writes")
        return None
    try:
        return ElementTree.fromstring(text.encode("utf-8") if not text.startswith("<?xml") else text[text.index("?>") + 2 :])
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        findings.fatal.append(f"{file.name}: is not XML ({error})")
        return None


def _similarity(element: ElementTree.Element | None) -> Similarity:
    """Of a ``<transform>`` with rotation, translation and scale, each of which may be missing."""
    if element is None:
        return Similarity()
    rotation = floats((element.findtext("rotation") or "1 0 0 0 1 0 0 0 1").split(), "the chunk's rotation", 9).reshape(3, 3)
    translation = floats((element.findtext("translation") or "0 0 0").split(), "the chunk's translation", 3)
    scale = float(floats([element.findtext("scale") or 1.0], "the chunk's scale", 1)[0])
    if not np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-4) or not 1e-12 < scale < 1e12:
        raise FrameProblem("the chunk's transform is no similarity")
    return Similarity(scale, rotation, translation)


def _intrinsics(sensor: ElementTree.Element) -> Intrinsics:
    found = sensor.findall("calibration")
    calibration = next((c for c in found if c.get("class") == "adjusted"), found[0] if found else None)
    if calibration is None:
        raise FrameProblem(f"its sensor {sensor.get('label')} has no calibration")
    kind = sensor.get("type") or calibration.get("type") or "frame"
    if kind not in ("frame", "fisheye"):
        raise FrameProblem(f'its sensor is of the type "{kind}", which is not read: undistort the photographs in Metashape first')
    size = calibration.find("resolution")
    size = size if size is not None else sensor.find("resolution")
    if size is None:
        raise FrameProblem("its sensor has no resolution")
    width, height = (int(v) for v in floats([size.get("width"), size.get("height")], "resolution"))

    def number(name: str) -> float:
        return float(floats([calibration.findtext(name) or 0.0], name)[0])

    f = number("f")
    lens = Lens(
        "fisheye" if kind == "fisheye" else "polynomial",
        (number("k1"), number("k2"), number("k3"), number("k4"), 0.0, 0.0),
        (number("p2"), number("p1")),
    )
    return Intrinsics(
        fx=f + number("b1"), fy=f, cx=width / 2 + number("cx"), cy=height / 2 + number("cy"),
        width=width, height=height, skew=number("b2"), lens=lens,
    )  # fmt: skip


def _is_export(file: Path) -> bool:
    try:
        with open(file, "rb") as f:
            return b"<document" in f.read(1024) and first_line(file) != ""
    except OSError:
        return False
