"""Render the HTML pages that mmnet writes."""

import base64
import os
from typing import Any

import jinja2
import numpy as np

from mmnet import __version__
from mmnet.io.images import encode_jpeg

GENERATOR = b'content="mmnet'  # part of every page; a file that contains it may be replaced


def render_page(template: str, **values: Any) -> str:
    """Return the page that a Jinja template file defines with these values."""
    folder, name = os.path.split(os.path.abspath(template))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, trim_blocks=True
    )
    page = environment.get_template(name).render(version=__version__, **values)
    return page.encode("utf-8", "backslashreplace").decode("utf-8")  # file names may be no text


def is_own_page(data: bytes) -> bool:
    """Return whether the contents of a file are a page that mmnet wrote."""
    return GENERATOR in data


def image_uri(image: np.ndarray, quality: int) -> str:
    """Return uint8 [H,W] or RGB [H,W,3] as the data URI of a JPEG of quality 0 to 100."""
    jpeg = base64.b64encode(encode_jpeg(image, quality)).decode()
    return f"data:image/jpeg;base64,{jpeg}"
