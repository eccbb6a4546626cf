"""Tests of mmnet.io.optional."""

import json
import shlex
import sys

import pytest

from helpers import assert_raises
from mmnet.io import optional
from mmnet.io.errors import MmnetError

PIP = [sys.executable, "-m", "pip", "install"]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Return the folder of a package that seems to be installed there, and never a clone."""
    folder = tmp_path / "a [site]"
    folder.mkdir()
    monkeypatch.setattr(optional, "SITE", str(folder))
    monkeypatch.setenv("PATH", "")
    return folder


def record_origin(site, **record):
    (site / "mmnet-0.3.0.dist-info").mkdir()
    (site / "mmnet-0.3.0.dist-info" / "direct_url.json").write_text(json.dumps(record))


def test_install_command_names_the_clone(site):
    (site / "pyproject.toml").write_text("")
    assert shlex.split(optional.install_command("demo")) == [*PIP, "-e", f"{site}[demo]"]


@pytest.mark.parametrize(
    "record, requirement",
    [
        ({"url": "file:///a%20clone", "dir_info": {}}, "/a clone[demo]"),
        ({"url": "file:///x/mmnet.whl", "archive_info": {}}, "/x/mmnet.whl[demo]"),
        ({"url": "https://x/mmnet.whl", "archive_info": {}}, "mmnet[demo] @ https://x/mmnet.whl"),
        (
            {"url": "https://x/mmnet", "vcs_info": {"vcs": "git", "commit_id": "c0"}},
            "mmnet[demo] @ git+https://x/mmnet@c0",
        ),
    ],
)
def test_install_command_names_the_origin(site, record, requirement):
    record_origin(site, **record)
    assert shlex.split(optional.install_command("demo")) == [*PIP, requirement]


def test_install_command_without_origin_names_the_package(site):
    assert shlex.split(optional.install_command("demo")) == [*PIP, "mmnet[demo]"]


def test_install_command_names_the_missing_python(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 7))
    assert "3.10" in optional.install_command("video")
    monkeypatch.setattr(sys, "version_info", (3, 13))
    assert "3.11" in optional.install_command("horovod")
    monkeypatch.setattr(sys, "version_info", (3, 11))
    assert "--no-build-isolation" in optional.install_command("horovod")


def test_pip_is_short_in_an_active_environment(tmp_path, monkeypatch):
    for name in ("pip", "python"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert optional.pip_install("x y") == "pip install 'x y'"


def test_import_optional_names_package_and_command(site):
    with assert_raises(MmnetError, "no_such_package", "a demo", "pip install", "mmnet[demo]"):
        optional.import_optional("no_such_package", "a demo", "demo")
    assert optional.import_optional("json", "a demo", "demo") is json
