"""Image files to 8-bit pixels: what Pillow reads, HEIC (extra ``[photos]``), OpenEXR (extra ``[hdr]``), 16 bits a channel."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from recon.data.formats.unread import KINDS
from recon.data.listing import FrameProblem
from recon.errors import CapabilityError, require_extra

EXIF_ORIENTATION = 274
HEIC = (".heic", ".heif")
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What each EXIF orientation asks to be done to the stored pixels."""
UNREADABLE = (OSError, UnidentifiedImageError, ValueError, SyntaxError, struct.error, EOFError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Header:
    """Stored size in pixels, and EXIF's orientation (1: as stored)."""

    width: int
    height: int
    orientation: int

    @property
    def quarter_turn(self) -> bool:
        """Whether EXIF exchanges width and height."""
        return self.orientation >= 5


def header(file: Path) -> Header | None:
    """From the file's first bytes, or None if it cannot be read (decoding will then say why)."""
    try:
        if file.suffix.lower() == ".exr":
            window = _exr(file, header_only=True).header()["dataWindow"]
            return Header(int(window[1][0] - window[0][0] + 1), int(window[1][1] - window[0][1] + 1), 1)
        with _open(file) as picture:
            orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
            return Header(*picture.size, orientation if orientation in TURNS else 1)
    except (*UNREADABLE, FrameProblem, KeyError, TypeError, RuntimeError):
        return None


def decode(file: Path, upright: bool = False) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read an image file as 8-bit RGB, or RGBA if it carries transparency.

    The stored orientation is kept unless ``upright``: camera poses refer to stored pixels, and an EXIF rotation would silently turn the
    image under them.

    Returns:
        Pixels [H, W, 3 or 4] uint8 and remarks on conversions.
    Raises:
        FrameProblem: The file is unreadable, truncated, of a kind that is not read or needs an extra, or without a known brightness range.
    """
    try:
        if file.stat().st_size == 0:
            raise FrameProblem("the image file is empty (0 bytes): copy it again")
        if file.suffix.lower() == ".exr":
            return _decode_exr(file)
        with _open(file) as picture:
            return _pixels(picture, upright)
    except FrameProblem:
        raise
    except Image.DecompressionBombError as error:
        raise FrameProblem(f"the image is too large to be a photograph ({error})") from error
    except UNREADABLE as error:
        if file.suffix.lower() in KINDS:
            what, hint = KINDS[file.suffix.lower()]
            raise FrameProblem(f"is {what}, which is not read: {hint[0].lower()}{hint[1:]}") from error
        if isinstance(error, UnidentifiedImageError) and file.suffix.lower() in (".tif", ".tiff"):
            return _decode_tiff(file)
        reason = str(error).replace(repr(str(file)), "").replace(str(file), "").strip()
        if file.suffix.lower() in HEIC:
            raise FrameProblem("this HEIC picture cannot be read: copy it again, or convert it to JPEG or PNG") from error
        raise FrameProblem(f"the image file is truncated or unreadable ({reason or type(error).__name__}): copy it again") from error


def _open(file: Path) -> Image.Image:
    if file.suffix.lower() in HEIC:
        try:
            require_extra("pillow_heif", "photos", "HEIC").register_heif_opener()
        except CapabilityError as error:
            raise FrameProblem("HEIC pictures need pillow-heif: pip install 'formfield[photos]', or convert them to JPEG or PNG") from error
    return Image.open(file)


def _pixels(picture: Image.Image, upright: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    remarks = []
    orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
    if orientation in TURNS and not upright:
        remarks.append(
            f"EXIF (orientation {orientation}) asks for a rotated display; the stored one is kept, because poses refer to stored pixels"
        )
    picture.load()
    if orientation in TURNS and upright:
        picture = picture.transpose(TURNS[orientation])
    mode = picture.mode
    if mode == "F":
        raise FrameProblem("floating-point images have no known brightness range: convert to 8-bit PNG")
    if mode in ("I", "I;16", "I;16B", "I;16L", "I;16N"):
        values = np.asarray(picture, dtype=np.int64)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise FrameProblem("32-bit integer images have no known brightness range: convert to 8-bit PNG")
        remarks.append("16-bit grey image reduced to 8 bits")
        return np.repeat(_eight_bits(values)[..., None], 3, axis=2), tuple(remarks)
    if mode == "CMYK":
        remarks.append("CMYK image converted to RGB without its colour profile")
    transparent = mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info
    wanted = "RGBA" if transparent else "RGB"
    return np.array(picture if mode == wanted else picture.convert(wanted)), tuple(remarks)


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """0..65535 to 0..255, rounded."""
    return ((values.astype(np.int64) * 255 + 32767) // 65535).astype(np.uint8)


def _decode_tiff(file: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Kinds of TIFF that Pillow does not know: 16 bits for each of three or four channels."""
    import tifffile

    try:
        values = tifffile.imread(file)
    except Exception as error:  # tifffile raises whatever its decoders do
        raise FrameProblem(f"the image file is truncated or of a kind of TIFF that is not read ({error}): convert it to PNG") from error
    if values.ndim != 3 or values.shape[2] not in (3, 4) or values.dtype not in (np.uint8, np.uint16):
        raise FrameProblem(f"a TIFF of the shape {values.shape} and the type {values.dtype} is not read: convert it to 8-bit PNG")
    if values.dtype == np.uint8:
        return values, ()
    return _eight_bits(values), ("16-bit image reduced to 8 bits",)


def _exr(file: Path, header_only: bool = False):
    try:
        return require_extra("OpenEXR", "hdr", "OpenEXR").File(str(file), separate_channels=False, header_only=header_only)
    except CapabilityError as error:
        raise FrameProblem("OpenEXR pictures need an extra: pip install 'formfield[hdr]', or convert them to PNG") from error


def _decode_exr(file: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Linear light to sRGB (IEC 61966-2-1); what is brighter than 1 is cut; premultiplied alpha, as OpenEXR has it, becomes straight."""
    try:
        channels = _exr(file).channels()
        name = next((n for n in ("RGBA", "RGB", "Y") if n in channels), None)
        if name is None:
            raise FrameProblem(f"has no RGB channels (found {', '.join(sorted(channels)) or 'none'})")
        values = np.nan_to_num(np.asarray(channels[name].pixels, np.float32), nan=0.0, posinf=1.0, neginf=0.0)
    except (RuntimeError, TypeError, KeyError, ValueError) as error:
        raise FrameProblem(f"the image file is truncated or unreadable ({error}): copy it again") from error
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    rgb, alpha = values[..., :3], values[..., 3:]
    if alpha.size:
        rgb = np.divide(rgb, alpha, out=np.zeros_like(rgb), where=alpha > 1e-6)
    bright = bool((rgb > 1).any())
    rgb = np.clip(rgb, 0, 1)
    rgb = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)
    out = np.rint(255 * np.concatenate([rgb, np.clip(alpha, 0, 1)], axis=2)).astype(np.uint8)
    return out, ("OpenEXR image converted to sRGB" + (", its values above 1 cut" if bright else ""),)
