"""Measure `mmnet predict` from the command to the files, against an older version.

python benchmarks/photos.py INPUT ... --old CHECKOUT [--old_python PYTHON] [--turns N]

An INPUT is a photo, whose result is one PNG file, or a folder. The versions take turns: the old
one, this one with one view, and this one with the default views. Each line states the median wall
time and CPU time (user and system, all threads), and both relative to the old version.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def run(python: str, checkout: str, path: str, flags):
    """Return (wall seconds, CPU seconds) of one command."""
    environment = dict(os.environ, PYTHONPATH=checkout)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages are compiled
    with tempfile.TemporaryDirectory() as folder:
        output = folder if os.path.isdir(path) else os.path.join(folder, "cutout.png")
        command = [python, "-m", "mmnet", "predict", path, "--output", output, *flags]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, env=environment, check=True, capture_output=True, cwd=folder)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--old", required=True, help="checkout of the old version")
    parser.add_argument("--old_python", default=sys.executable)
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    versions = {
        "old": (options.old_python, os.path.abspath(options.old), []),
        "new, one view": (sys.executable, ROOT, ["--views", "1"]),
        "new, default views": (sys.executable, ROOT, []),
    }
    print(f"load {os.getloadavg()[0]:.1f}, medians of {options.turns} turns, after one warm-up")
    for path in map(os.path.abspath, options.inputs):
        seconds = {name: [] for name in versions}
        for turn in range(options.turns + 1):
            for name, (python, checkout, flags) in versions.items():
                measured = run(python, checkout, path, flags)
                if turn:  # the first one compiles modules and fills the cache of the disk
                    seconds[name].append(measured)
        for name, values in seconds.items():
            pairs = zip(values, seconds["old"])
            ratios = [[new / old for new, old in zip(*pair)] for pair in pairs]
            wall, cpu = (statistics.median(column) for column in zip(*values))
            wall_ratio, cpu_ratio = (statistics.median(column) for column in zip(*ratios))
            print(
                f"{os.path.basename(path)}, {name}: {wall:.3f} s ({wall_ratio:.2f}), "
                f"CPU {cpu:.3f} s ({cpu_ratio:.2f})",
                flush=True,
            )
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
