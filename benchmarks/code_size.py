"""Measure the size and the structure of the code: python benchmarks/code_size.py [--root CHECKOUT].

It prints lines per folder, the largest files and functions, flags per command, names with several
meanings, and what one photo, one evaluation and one training pass through. Compare two versions by
running it on two checkouts.
"""

import argparse
import ast
import collections
import json
import os
import re
import subprocess
import sys
import tempfile

PACKAGE = "mmnet"
LARGEST = 5  # files and functions to list
LONG_FUNCTION = 40  # lines without the docstring
IGNORED_NAMES = {"log", "run", "Options", "__all__"}  # many modules define these on purpose

TRACE = """
import inspect, json, os, sys, threading
root, argv = sys.argv[1], sys.argv[2:]
package = os.path.join(root, "mmnet") + os.sep
functions, sources = set(), 0
def profile(frame, event, _):
    global sources
    if event == "call" and frame.f_code.co_filename.startswith(package):
        code = frame.f_code
        if code.co_flags & inspect.CO_OPTIMIZED:  # neither a module nor the body of a class
            functions.add((code.co_filename, code.co_name, code.co_firstlineno))
        sources += code.co_name == "find_source"
from mmnet.cli import main
threading.setprofile(profile)
sys.setprofile(profile)
try:
    code = main(argv)
finally:
    sys.setprofile(None)
files = {name for name, _, _ in functions}
result = [code, len(functions), len(files), len(set(map(os.path.dirname, files))), sources]
sys.stderr.write("TRACE " + json.dumps(result) + "\\n")
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--root", default=default, help="checkout to measure")
    options = parser.parse_args()
    root = os.path.abspath(options.root)

    print_lines(root)
    print_functions(root)
    print_names(root)
    print_flags(root)
    print_walks(root)
    return 0


def python_files(root, folder):
    """Return the paths of all Python files below a folder of the checkout."""
    paths = []
    for parent, folders, names in os.walk(os.path.join(root, folder)):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        paths += [os.path.join(parent, name) for name in names if name.endswith(".py")]
    return sorted(paths)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def print_lines(root):
    """Print lines per folder of the package, of the tests, and of the largest files."""
    sizes = {path: read(path).count("\n") for path in python_files(root, PACKAGE)}
    folders = collections.Counter()
    for path, lines in sizes.items():
        parts = os.path.relpath(path, os.path.join(root, PACKAGE)).split(os.sep)
        folders[parts[0] + "/" if len(parts) > 1 else "(root)"] += lines
    for folder, lines in sorted(folders.items()):
        print(f"{PACKAGE}/{folder}: {lines} lines")
    print(f"{PACKAGE}/: {sum(sizes.values())} lines in {len(sizes)} files")
    tests = [read(path).count("\n") for path in python_files(root, "tests")]
    print(f"tests/: {sum(tests)} lines in {len(tests)} files")
    for path in sorted(sizes, key=sizes.get, reverse=True)[:LARGEST]:
        print(f"  {os.path.relpath(path, root)}: {sizes[path]} lines")


def print_functions(root):
    """Print the longest functions, counted without docstrings."""
    lengths = {}
    for path in python_files(root, PACKAGE):
        for node in ast.walk(ast.parse(read(path))):
            if isinstance(node, ast.FunctionDef):
                length = node.end_lineno - node.lineno + 1
                if ast.get_docstring(node):
                    docstring = node.body[0]
                    length -= docstring.end_lineno - docstring.lineno + 1
                lengths[f"{os.path.relpath(path, root)}:{node.name}"] = length
    long = sum(length > LONG_FUNCTION for length in lengths.values())
    print(f"functions: {len(lengths)}, {long} with more than {LONG_FUNCTION} lines")
    for name in sorted(lengths, key=lengths.get, reverse=True)[:LARGEST]:
        print(f"  {name}: {lengths[name]} lines")


def print_names(root):
    """Print the top-level names that several modules define."""
    modules = collections.defaultdict(set)
    for path in python_files(root, PACKAGE):
        for node in ast.parse(read(path)).body:
            names = [getattr(node, "name", None)]
            if isinstance(node, ast.Assign):
                names = [getattr(target, "id", None) for target in node.targets]
            for name in names:
                if name and not name.startswith("_"):
                    modules[name].add(path)
    shared = sorted(n for n in modules if len(modules[n]) > 1 and n not in IGNORED_NAMES)
    print(f"names with several meanings: {len(shared)}: {', '.join(shared)}")


def run_mmnet(root, *argv):
    environment = dict(os.environ, PYTHONPATH=root, COLUMNS="100")
    command = [sys.executable, "-m", PACKAGE, *argv]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=root).stdout


def print_flags(root):
    """Print the number of flags of each command, from its --help."""
    commands = re.findall(r"^ {2,4}([a-z][a-z-]+)(?: {2,}|$)", run_mmnet(root, "--help"), re.M)
    total = 0
    for command in commands:
        flags = set(re.findall(r"^ +(?:-\w, )?(--\w+)", run_mmnet(root, command, "--help"), re.M))
        total += len(flags)
        print(f"mmnet {command}: {len(flags)} flags")
    print(f"flags of {len(commands)} commands: {total}")


def print_walks(root):
    """Print how many functions, files and folders a command passes through."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = os.path.join(folder, "data"), os.path.join(folder, "out")
        drawing = ["--pictures", "4", "--shape", "200", "150"]
        for split in ("train", "test"):
            split_flags = ["--dataset_path", data, "--dataset_split_name", split]
            run_mmnet(root, "synthesize", *split_flags, *drawing)
        photos = os.path.join(data, "test", "image")
        photo = os.path.join(photos, sorted(os.listdir(photos))[0])
        small = ["--width_multiplier", "0.25", "--size", "64"]
        walks = {
            "one photo": ["predict", photo, "--output", out],
            "evaluate, 4 pairs": ["evaluate", "--dataset_path", data],
            "freeze": ["freeze", "--output", os.path.join(folder, "model.pb")],
            "info": ["info"],
            "train, 2 steps": ["train", "--dataset_path", data, "--train_dir", out, *small]
            + ["--batch_size", "2", "--max_step_from_restore", "2"],
        }
        for name, argv in walks.items():
            code, functions, files, folders, sources = trace(root, argv)
            print(
                f"{name}: exit code {code}, {functions} functions, {files} files, "
                f"{folders} folders, {sources} calls of find_source"
            )


def trace(root, argv):
    environment = dict(os.environ, PYTHONPATH=root)
    command = [sys.executable, "-c", TRACE, root, *argv]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=root)
    lines = [line for line in result.stderr.splitlines() if line.startswith("TRACE ")]
    if not lines:
        sys.exit(f"{' '.join(argv)} failed:\n{result.stderr}")
    return json.loads(lines[-1][len("TRACE ") :])


if __name__ == "__main__":
    sys.exit(main())
