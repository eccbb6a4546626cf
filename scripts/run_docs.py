"""Run the examples in README.md and docs/ on synthetic data, with few steps and small images.

python scripts/run_docs.py [--fast | PAGE ...]

It runs every block with the language sh or python, except after a comment "not run: REASON" or "not
run on TensorFlow 1.15: REASON". All pages share one folder, because later pages use the results of
README.md; a command that ran before is not repeated. The exit code is 1 if an example failed.
--fast runs the pages about using mmnet, and not those about training and export.
"""

import importlib.util
import multiprocessing
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)
IS_TF1 = sys.version_info < (3, 8)  # only TensorFlow 1.15 supports Python 3.7
FIRST = ["README.md", "README.zh-CN.md", "docs/training.md", "docs/export.md"]
FAST = [
    "README.md", "README.zh-CN.md",
    *(f"docs/{name}.md" for name in ("predict", "clips", "python-api", "datasets", "faq")),
]  # fmt: skip
BLOCK = re.compile(
    r"^(?:<!-- not run( on TensorFlow 1\.15)?: ([^\n]*) -->\n)?```(sh|python)\n(.*?)^```",
    re.MULTILINE | re.DOTALL,
)
SMALL = {  # additional flags of commands
    "train": "--max_step_from_restore 2 --batch_size 4 --size 64",
    "launch": "--max_step_from_restore 2 --batch_size 4 --size 64",
    "synthesize": "--pictures 2 --shape 120 90",
    "benchmark": "--seconds .2",
}
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
TRAINING_SETS = ("DATASET", "PERSONS", "DAPM", "AISEGMENT", "UNSPLIT")
OTHER_SETS = (("DATASET", "test"), ("DATASET", "val"), ("PERSONS", "test"))
FILES = f"""
mkdir SOURCE photos ROOMS
cp "{ROOT}/figure/astronaut.jpg" photo.jpg
cp "{ROOT}/figure/hubble.jpg" beach.jpg
cp photo.jpg photos/ && cp beach.jpg ROOMS/ && echo photo.jpg > photos.txt
cp -r UNSPLIT/train/image SOURCE/photos && cp -r UNSPLIT/train/mask SOURCE/alphas
"""


def find_pages():
    """Return all pages, those with results for others first."""
    pages = ["docs/" + name for name in sorted(os.listdir(os.path.join(ROOT, "docs")))]
    return FIRST + [page for page in pages if page.endswith(".md") and page not in FIRST]


def find_examples(page):
    """Yield (code, language, reason not to run it) of each command and Python block."""
    with open(os.path.join(ROOT, page), encoding="utf-8") as file:
        for only_tf1, reason, language, code in BLOCK.findall(file.read()):
            reason = "" if only_tf1 and not IS_TF1 else reason
            for example in [code] if language == "python" else code.splitlines():
                yield example, language, reason


def execute(code, language, log):
    """Execute an example in a process that has TensorFlow already, with its output in a file."""
    for stream in (1, 2):
        os.dup2(log, stream)
    if language == "python":
        exec(compile(code, "example", "exec"), {"__name__": "example"})
        return
    words = shlex.split(code, comments=True)
    if words[0] == "mmnet" and not set(words) & {"<", ">", "|"}:
        from mmnet import cli

        sys.exit(cli.main(words[1:]))
    shell = f'mmnet() {{ "{sys.executable}" -m mmnet "$@"; }}\n{code}'
    sys.exit(subprocess.call(["sh", "-ec", shell]))


def run(code, language="sh"):
    """Run an example. Return its output, or None after success."""
    with tempfile.TemporaryFile() as log:
        arguments = (code, language, log.fileno())
        process = multiprocessing.get_context("fork").Process(target=execute, args=arguments)
        process.start()
        process.join()
        log.seek(0)
        return (log.read().decode("utf-8", "replace") or "no output") if process.exitcode else None


def shrink(line):
    """Add the flags that make an mmnet command fast."""
    words = shlex.split(line, comments=True)
    flags = SMALL.get(words[1], "") if words[:1] == ["mmnet"] and len(words) > 1 else ""
    return f"{line.split(' #')[0]} {flags}" if flags else line


def make_data():
    """Write the datasets, photos and clips of the examples into the current folder."""
    command = "mmnet synthesize --shape 120 90 --output"
    lines = [f"{command} {name} --dataset_split_name train --pictures 6" for name in TRAINING_SETS]
    for seed, (name, split) in enumerate(OTHER_SETS, 1):
        lines.append(f"{command} {name} --dataset_split_name {split} --pictures 3 --seed {seed}")
    for code in [*lines, FILES]:
        output = run(code)
        if output:
            sys.exit(output)
    output = run(CLIP, "python") if importlib.util.find_spec("av") else None
    if output:
        sys.exit(output)


def check(page, finished):
    """Run the new examples of a page, print their results and return the number of failures."""
    failures = 0
    for code, language, reason in find_examples(page):
        key = " ".join(shlex.split(code, comments=True)) if language == "sh" else code
        if not key or key in finished:
            continue
        finished.add(key)
        first_line = key.splitlines()[0]
        if "clip.mp4" in key and not importlib.util.find_spec("av"):
            reason = "PyAV is not installed"
        if reason:
            print(f"not run ({reason})  {page}: {first_line}", flush=True)
            continue
        start = time.monotonic()
        output = run(shrink(code) if language == "sh" else code, language)
        result = "failed" if output else "ok"
        print(f"{result} {time.monotonic() - start:5.1f} s  {page}: {first_line}", flush=True)
        if output:
            failures += 1
            print(f"{code}\n{output}", flush=True)
    return failures


def main(pages):
    from mmnet.tf import compat  # noqa: F401  # the processes of the examples inherit TensorFlow

    if pages == ["--fast"]:
        pages = FAST
    start, folder, finished = time.monotonic(), tempfile.mkdtemp(), set()
    os.environ["PYTHONPATH"] = ROOT
    os.chdir(folder)
    make_data()
    failures = sum([check(page, finished) for page in pages or find_pages()])
    os.chdir(ROOT)
    shutil.rmtree(folder)
    print(f"{failures} examples failed, {time.monotonic() - start:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
