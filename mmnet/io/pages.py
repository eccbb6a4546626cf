"""What every page of HTML shares: its template, its pictures, how it is known again."""

import base64
import os

import jinja2

from mmnet import __version__
from mmnet.io.images import encode_jpeg

GENERATOR = b'content="mmnet'  # in every page: one that holds it is ours to replace


def render(template, **values):
    """The page of the template file at a path, with ``values`` in it."""
    folder, name = os.path.split(os.path.abspath(template))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, trim_blocks=True
    )
    return environment.get_template(name).render(version=__version__, **values)


def is_page(data):
    """Whether the bytes of a file are a page that mmnet wrote."""
    return GENERATOR in data


def picture_uri(image, quality):
    """Uint8 [H,W] or [H,W,3] as a JPEG inside a page, quality 0 to 100."""
    jpeg = base64.b64encode(encode_jpeg(image, quality)).decode()
    return "data:image/jpeg;base64," + jpeg
