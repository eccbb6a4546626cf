"""Exit with one line if a package is missing. The scripts of this folder import it first."""

import os
import sys

try:
    import cv2  # noqa: F401
    import numpy as np  # noqa: F401
    import PIL  # noqa: F401
except ImportError as error:
    script = os.path.basename(sys.argv[0])
    remedy = "pip install numpy opencv-python-headless pillow"
    sys.stderr.write(f"{script}: error: {error}: {remedy}\n")
    sys.exit(2)
