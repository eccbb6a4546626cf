"""Score exported models inside other programs, beside one network run of mmnet.

python benchmarks/applications.py DATASET [--split test] [--models mmnet-persons mmnet-fast]

MMNET_MEDIAPIPE_PYTHON and MMNET_REMBG_PYTHON are Pythons that have mediapipe and rembg; without
one its rows are missing. Alphas have the size of the photo. Scores are computed at 256x256.
"""
