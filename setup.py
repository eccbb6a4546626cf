"""What pyproject.toml cannot describe: the licence for old setuptools, and copying the presets."""

import glob
import os
import shutil

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithPresets(build_py):
    """Copy the presets of configs/ into the wheel as mmnet/configs. A clone reads configs/."""

    editable_mode = False  # set by newer versions of setuptools

    def run(self):
        super().run()
        if not self.editable_mode:
            folder = os.path.join(self.build_lib, "mmnet", "configs")
            os.makedirs(folder, exist_ok=True)
            for path in glob.glob("configs/*.yaml"):
                shutil.copy(path, folder)


# setuptools 68, the last one for Python 3.7, refuses a licence name in pyproject.toml.
setup(license="Apache-2.0", cmdclass={"build_py": BuildWithPresets})
