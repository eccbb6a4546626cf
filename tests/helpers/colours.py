"""ICC profiles for tests."""

import io
import struct

import numpy as np
from PIL import ImageCms

from mmnet.io.colour import BRADFORD, PRIMARIES

CUBE = np.stack(np.meshgrid(*3 * [np.arange(0, 256, 17)]), axis=-1)
CUBE = CUBE.reshape(64, 64, 3).astype(np.uint8)  # colours of the whole RGB cube
D50 = np.array([0.9642, 1.0, 0.8249])
ADOBE = ((0.3127, 0.3290, 0.640, 0.330, 0.210, 0.710, 0.150, 0.060), 2.19921875)
P3 = (PRIMARIES[12], 2.2)
PROPHOTO = ((0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001), 1.8)


def make_profile(primaries, gamma, space=b"RGB "):
    """Return an ICC profile: white, red, green and blue as x, y, and a gamma; or space b"GRAY".

    A profile for b"CMYK" has coloured inks; it ignores primaries and gamma.
    """
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"wtpt": _xyz(D50),
        b"cprt": b"text" + bytes(4) + b"none\0\0\0\0",
    }
    if space == b"CMYK":
        tags[b"A2B0"] = _ink_table()
    else:
        curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    elif space == b"RGB ":
        x, y = np.reshape(primaries, (4, 2)).T
        white, *colours = (np.stack([x, y, 1 - x - y]) / y).T
        rgb = np.stack(colours, axis=1)
        rgb = rgb * np.linalg.solve(rgb, white)
        adapt = np.linalg.solve(BRADFORD, np.diag(BRADFORD @ D50 / (BRADFORD @ white)) @ BRADFORD)
        for name, column in zip((b"r", b"g", b"b"), (adapt @ rgb).T):
            tags[name + b"XYZ"], tags[name + b"TRC"] = _xyz(column), curve
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        offset = 128 + 4 + 12 * len(tags) + len(body)
        table += name + struct.pack(">II", offset, len(data))
        body += data + bytes(-len(data) % 4)
    size, kind = 128 + len(table) + len(body), b"prtr" if space == b"CMYK" else b"mntr"
    pcs = b"Lab " if space == b"CMYK" else b"XYZ "
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x2100000, kind, space, pcs)
    header += bytes(12) + b"acsp" + bytes(28) + _xyz(D50)[8:]
    return header + bytes(128 - len(header)) + table + body


def _ink_table():
    """Return the table from CMYK to CIELAB of four inks that darken and tint the paper."""
    inks = np.array([[-40, -30, -40], [-45, 70, -5], [-8, -5, 85], [-80, 0, 0]])  # L, a, b
    corners = np.array(list(np.ndindex(2, 2, 2, 2)))
    lab = np.array([95, 0, 0]) + corners @ inks
    levels = np.stack([lab[:, 0].clip(5, 100) * 2.55, lab[:, 1] + 128, lab[:, 2] + 128], axis=1)
    matrix = struct.pack(">9i", *(65536 * value for value in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    ramp = bytes(range(256))
    clut = levels.clip(0, 255).astype(np.uint8).tobytes()
    return b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + 4 * ramp + clut + 3 * ramp


def reference_srgb(image, profile):
    """Return a PIL image converted by Pillow's ImageCms, int [H,W,3]."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    target = ImageCms.createProfile("sRGB")
    relative = ImageCms.Intent.RELATIVE_COLORIMETRIC
    result = ImageCms.profileToProfile(image, source, target, relative, outputMode="RGB")
    return np.array(result).astype(int)


def _xyz(values):
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(int(round(65536 * value)) for value in values))
