"""Constants and functions that several test files use."""

import contextlib
import importlib.util
import os

import pytest

from mmnet.networks.network import Network

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEST_DATA = os.environ.get("MMNET_TEST_DATA") or os.path.join(os.path.dirname(ROOT), "shared")

PAGE_TIMEOUT = 120000  # milliseconds that a browser page may take on a busy machine
PHONE = 390  # pixels, width of a phone's screen
SMALL = Network("tiny", shape=(64, 64))
SMALL_FLAGS = ["--network", "tiny", "--size", "64"]


def assert_message(text: str, *tokens: object) -> None:
    """Assert that a message contains every token (a path, a flag, a value), not its wording."""
    missing = [str(token) for token in tokens if str(token) not in text]
    assert not missing, f"{missing} not in {text!r}"


@contextlib.contextmanager
def assert_raises(error_type, *tokens):
    """Assert that the block raises this error, and that its message contains every token."""
    with pytest.raises(error_type) as caught:
        yield caught
    assert_message(str(caught.value), *tokens)


def width_on_phone(browser, page):
    """Return the width in pixels that an HTML page takes on a screen of PHONE pixels."""
    tab = browser.new_page(viewport={"width": PHONE, "height": 844})
    tab.set_content(page, timeout=PAGE_TIMEOUT)
    width = tab.evaluate("document.documentElement.scrollWidth")
    tab.close()
    return width


def load_script(path):
    """Import a script of the repository, for example figure/clip.py, and return the module."""
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, os.path.join(ROOT, path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call_before(monkeypatch, module, name, function):
    """Call ``function`` with the arguments of each call of ``module.name``, before that call."""
    original = getattr(module, name)

    def call_both(*args, **kwargs):
        function(*args, **kwargs)
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, call_both)
