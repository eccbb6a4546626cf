"""Run the examples in README.md and docs/ on synthetic data, with few steps and small images.

python scripts/run_docs.py [PAGE ...]

It runs the blocks with the language sh or python. Blocks that need a server, a chip or a download
have the language shell or py. All pages share one folder, because later pages use the results of
README.md. The exit code is 1 if an example failed.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGES = ["README.md", "docs/training.md", "docs/export.md"]  # later pages use their results
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.M | re.S)
COMMAND = """\
#!/bin/sh
small=
case $1 in train | launch) small="--max_step_from_restore 2 --batch_size 4 --size 64" ;; esac
exec "{python}" -m mmnet "$@" $small
"""
CLIP = """
import av, numpy as np
with av.open("clip.mp4", "w") as clip:
    stream = clip.add_stream("h264", rate=10)
    stream.width, stream.height, stream.pix_fmt = 256, 192, "yuv420p"
    for level in range(0, 100, 20):
        image = np.full((192, 256, 3), level, np.uint8)
        clip.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
    clip.mux(stream.encode())
"""
DATA = f"""
for name in DATASET PERSONS DAPM AISEGMENT UNSPLIT; do
    mmnet synthesize --output $name --dataset_split_name train --pictures 6 --shape 120 90
done
mmnet synthesize --output DATASET --pictures 3 --seed 1 --shape 120 90
mmnet synthesize --output DATASET --dataset_split_name val --pictures 3 --seed 2 --shape 120 90
mmnet synthesize --output PERSONS --pictures 3 --seed 3 --shape 120 90
mkdir SOURCE photos ROOMS
cp "{ROOT}/figure/astronaut.jpg" photo.jpg
cp "{ROOT}/figure/hubble.jpg" beach.jpg
cp photo.jpg photos/ && cp beach.jpg ROOMS/ && echo photo.jpg > photos.txt
cp -r UNSPLIT/train/image SOURCE/photos && cp -r UNSPLIT/train/mask SOURCE/alphas
"""


def find_pages():
    """Return all pages, those with results for others first."""
    pages = ["docs/" + name for name in sorted(os.listdir(os.path.join(ROOT, "docs")))]
    return PAGES + [page for page in pages if page.endswith(".md") and page not in PAGES]


def run(folder, language, code):
    """Run code in a folder. Return its output, or None after success."""
    program = ["sh", "-ex"] if language == "sh" else [sys.executable, "-"]
    environment = dict(os.environ, PATH=f"{folder}/bin{os.pathsep}{os.environ['PATH']}")
    environment["PYTHONPATH"] = ROOT
    result = subprocess.run(
        program, input=code, cwd=folder, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, encoding="utf-8",
    )  # fmt: skip
    return result.stdout if result.returncode else None


def main(pages):
    folder, failures = tempfile.mkdtemp(), 0
    os.mkdir(os.path.join(folder, "bin"))
    command = os.path.join(folder, "bin", "mmnet")
    with open(command, "w") as file:
        file.write(COMMAND.format(python=sys.executable))
    os.chmod(command, 0o755)
    for language, code in (("sh", DATA), ("python", CLIP)):
        output = run(folder, language, code)
        if output:
            sys.exit(output)
    for page in pages or find_pages():
        with open(os.path.join(ROOT, page), encoding="utf-8") as file:
            blocks = BLOCK.findall(file.read())
        for language, code in blocks:
            start = time.monotonic()
            output = run(folder, language, code)
            result = "failed" if output else "ok"
            first_line = code.splitlines()[0]
            print(f"{result} {time.monotonic() - start:5.1f} s  {page}: {first_line}", flush=True)
            if output:
                failures += 1
                print(f"{code}{output}", flush=True)
    shutil.rmtree(folder)
    print(f"{failures} examples failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
