"""Tests of mmnet.commands.doctor."""

import json
import shutil

from helpers import assert_message
from mmnet.cli import main
from mmnet.commands import doctor
from mmnet.io.errors import MmnetError
from mmnet.tf.compat import tf


def test_doctor_reports_versions_and_devices(capfd):
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["parts"]["TensorFlow"] == tf.__version__
    assert "cpu" in report["devices"] and report["weights_in_the_box"] == "work"
    assert main(["doctor"]) == 0
    assert_message(capfd.readouterr().out, "bundled weights: work", tf.__version__)


def test_find_version_distinguishes_missing_and_broken(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import missing_dependency")
    monkeypatch.syspath_prepend(str(tmp_path))
    component = doctor.Component("half", "half_installed", "nothing", "nothing")
    assert_message(doctor.find_version(component), "broken", "missing_dependency")
    assert doctor.find_version(component._replace(module="not_installed")) is None
    program = component._replace(name="sh", module=None)
    assert doctor.find_version(program) == shutil.which("sh")


def test_doctor_fails_if_the_weights_do_not_run(monkeypatch, capfd):
    def fail(source):
        raise MmnetError("no interpreter")

    monkeypatch.setattr(doctor, "open_predictor", fail)
    assert main(["doctor"]) == 1
    assert_message(capfd.readouterr().out, "bundled weights: no interpreter")
