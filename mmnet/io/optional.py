"""Import optional packages, and name the command that installs them."""

import glob
import importlib
import json
import os
import shlex
import shutil
import sys
from typing import Any

from mmnet.io.errors import MmnetError
from mmnet.io.lazy import lazy_import

parse = lazy_import("urllib.parse")

SITE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def import_optional(name: str, purpose: str, extra: str) -> Any:
    """Import a package. MmnetError: PURPOSE needs it, and the extra of mmnet adds it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        message = f"{purpose} needs {name} ({error}): {install_command(extra)}"
        raise MmnetError(message) from None


def install_command(extra: str) -> str:
    """Return the command that adds an extra to this installation. "": install the light set again.

    It names the clone, wheel or address that mmnet was installed from, which pip records.
    """
    if extra in ("", "video") and sys.version_info < (3, 10):  # LiteRT, PyAV
        return "needs Python 3.10 or newer"
    if extra == "horovod":  # built for the TensorFlow that is installed
        is_old = sys.version_info < (3, 12)
        command = pip_install("--no-build-isolation", "horovod")
        return command if is_old else "needs Python 3.11 or older"
    extras = f"[{extra}]" if extra else ""
    if os.path.exists(os.path.join(SITE, "pyproject.toml")):  # a clone
        return pip_install("-e", SITE + extras)
    url = _read_url()
    if url.startswith("file:"):
        return pip_install(parse.unquote(parse.urlsplit(url).path) + extras)
    return pip_install(f"mmnet{extras} @ {url}" if url else f"mmnet{extras}")


def pip_install(*arguments: str) -> str:
    """Return ``pip install`` with quoted arguments, for the environment of this Python."""
    pip = shutil.which("pip") or ""
    is_active = os.path.dirname(pip) == os.path.dirname(sys.executable)
    words = ["pip"] if is_active else [sys.executable, "-m", "pip"]
    return " ".join(shlex.quote(word) for word in [*words, "install", *arguments])


def _read_url():
    """Return the address that this package was installed from. Empty: a package index."""
    for path in glob.glob(os.path.join(glob.escape(SITE), "mmnet-*.dist-info", "direct_url.json")):
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
        version_control = record.get("vcs_info")
        if version_control is None:
            return record["url"]
        return f"{version_control['vcs']}+{record['url']}@{version_control['commit_id']}"
    return ""
