"""Tests of mmnet.commands.doctor."""

import os
import shutil
import subprocess
import sys

from helpers import ROOT, assert_message
from mmnet.commands import doctor
from mmnet.io.errors import MmnetError
from mmnet.tf.compat import tf


def test_doctor_reports_versions_and_devices(run_json):
    (report,) = run_json("doctor")
    assert report["parts"]["TensorFlow"] == tf.__version__
    assert "cpu" in report["devices"] and report["weights_in_the_box"] == "work"


def test_doctor_prints_no_log_lines_of_tensorflow():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-m", "mmnet", "doctor"],
        env=dict(environment, PYTHONPATH=ROOT),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert_message(done.stdout, "weights_in_the_box: work", tf.__version__)


def test_find_version_distinguishes_missing_and_broken(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import missing_dependency")
    monkeypatch.syspath_prepend(str(tmp_path))
    component = doctor.Component("half", "half_installed", "nothing", "nothing")
    assert_message(doctor.find_version(component), "broken", "missing_dependency")
    assert doctor.find_version(component._replace(module="not_installed")) is None
    program = component._replace(name="sh", module=None)
    assert doctor.find_version(program) == shutil.which("sh")


def test_doctor_fails_if_the_weights_do_not_run(monkeypatch, run):
    def fail(source):
        raise MmnetError("no interpreter")

    monkeypatch.setattr(doctor, "open_predictor", fail)
    code, out, _ = run("doctor")
    assert code == 1
    assert_message(out, "weights_in_the_box: no interpreter")
