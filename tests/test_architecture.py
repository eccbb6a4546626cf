"""Tests of the architecture: which folder may import which, sizes, and what runs without what."""

import ast
import collections
import dataclasses
import glob
import json
import os
import subprocess
import sys

import pytest

from helpers import ROOT, assert_message
from mmnet.commands import COMMANDS, load_command
from mmnet.commands.options import NETWORK_FLAGS

PACKAGE = os.path.join(ROOT, "mmnet")
EVERYTHING = None
ALLOWED = {  # folder or root module -> folders that it may import
    "io": set(),
    "tf": {"io"},
    "networks": {"io", "tf"},
    "datasets": {"io"},
    "weights": {"io", "tf", "networks"},
    "inference": {"io", "tf", "networks", "weights"},
    "matting": {"io", "inference"},
    "evaluation": {"io", "datasets", "inference", "matting"},
    "distributed": {"io", "tf"},
    "training": {
        "io",
        "tf",
        "networks",
        "datasets",
        "weights",
        "inference",
        "evaluation",
        "distributed",
    },
    "export": {"io", "tf", "networks", "datasets", "weights", "inference"},
    "datatools": {"io", "datasets"},
    "benchmark": {"io", "inference", "matting", "export"},
    "demo": {"io", "inference", "matting"},
    "api": {"io", "weights", "inference", "matting"},
    "commands": EVERYTHING,
    "cli": EVERYTHING,
    "": {"api"},
    "__main__": {"cli"},
}
# Modules without TensorFlow that several folders use: the values Network and Device.
SHARED = {"mmnet.networks.network", "mmnet.tf.device"}
VERSION = "mmnet"  # `from mmnet import __version__`

WITHOUT_TENSORFLOW = ("io", "datasets", "datatools", "demo", "matting", "evaluation", "api")
WITHOUT_TENSORFLOW_MODULES = {"mmnet.networks.network"} | {
    f"mmnet.inference.{name}" for name in ("predictor", "replay", "card")
}
OPTIONAL = {  # packages that functions import, because they are not always installed
    "ai_edge_litert",
    "av",
    "aiohttp",
    "h5py",
    "horovod",
    "npu_bridge",
    "onnx",
    "onnxruntime",
    "pillow_heif",
    "pooch",
    "psutil",
    "scipy",
    "tensorboard",
    "tf2onnx",
}
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 50  # without the docstring
MAX_LONG_FUNCTIONS = 5  # with more than 40 lines
MAX_PACKAGE_LINES = 22650
MAX_FOLDER_SHARE = 0.2


def module_name(path):
    """``.../mmnet/io/files.py`` -> ``mmnet.io.files``; the file __init__.py is its folder."""
    module = os.path.relpath(path, ROOT)[: -len(".py")].replace(os.sep, ".")
    return module[: -len(".__init__")] if module.endswith(".__init__") else module


def folder_of(module):
    """``mmnet.io.files`` -> ``io``; ``mmnet.api`` -> ``api``; ``mmnet`` -> an empty text."""
    return (module.split(".") + [""])[1]


PATHS = sorted(glob.glob(os.path.join(PACKAGE, "**", "*.py"), recursive=True))
MODULES = {module_name(path): path for path in PATHS}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


TREES = {module: ast.parse(read(path)) for module, path in MODULES.items()}


def find_imports(module):
    """Yield (imported module, whether a function imports it), except imports for type checkers.

    None: the module is imported when it is first used.
    """
    pending = [(TREES[module], False)]
    while pending:
        node, in_function = pending.pop()
        if isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, in_function
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports by a relative name"
            for name in node.names:
                full_name = f"{node.module}.{name.name}"
                yield (full_name if full_name in MODULES else node.module), in_function
        elif isinstance(node, ast.Call) and getattr(node.func, "id", None) == "lazy_import":
            yield ast.literal_eval(node.args[0]), None
        in_function = in_function or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        pending.extend((child, in_function) for child in ast.iter_child_nodes(node))


def top_imports(module):
    return {name for name, in_function in find_imports(module) if in_function is False}


def run_python(code):
    """Return the output of a new Python process."""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_folder_has_a_rule():
    assert {folder_of(module) for module in MODULES} == set(ALLOWED)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_module_imports_only_allowed_folders(module):
    folder = folder_of(module)
    allowed = ALLOWED[folder]
    for name, _ in find_imports(module):
        if name.split(".")[0] != "mmnet" or name in SHARED or name == VERSION:
            continue
        is_allowed = allowed is EVERYTHING or folder_of(name) in allowed | {folder}
        assert is_allowed, f"{module} imports {name}"


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"mmnet.tf.compat"}))
def test_module_imports_tensorflow_only_through_compat(module):
    roots = {name.split(".")[0] for name, _ in find_imports(module)}
    assert not roots & {"tensorflow", "tf_slim", "keras"}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"mmnet"}))
def test_functions_import_only_optional_packages(module):
    for name, in_function in find_imports(module):
        root = name.split(".")[0]
        if module == "mmnet.tf.compat" or in_function is None:  # TensorFlow and parts of it
            continue
        assert (root in OPTIONAL) == in_function, f"{module} imports {name}"


def test_imports_have_no_cycle():
    graph = {module: top_imports(module) & set(MODULES) for module in MODULES}
    assert sum(map(len, graph.values())) > 100
    assert find_cycle(graph) is None
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]


def find_cycle(graph):
    """Return a cycle of a graph (node -> nodes) as a list with its first node repeated, or None."""
    finished = set()

    def search(node, path):
        if node in path:
            return path[path.index(node) :] + [node]
        if node not in finished:
            finished.add(node)
            for following in sorted(graph.get(node, ())):
                cycle = search(following, path + [node])
                if cycle:
                    return cycle
        return None

    cycles = (search(node, []) for node in sorted(graph))
    return next((cycle for cycle in cycles if cycle), None)


def load_without(packages, modules):
    """Import modules in a new process in which these packages cannot be imported."""
    names = ", ".join(sorted(modules))
    run_python(f"import sys; sys.modules.update(dict.fromkeys({list(packages)!r})); import {names}")


def test_every_module_loads_without_tensorflow():
    load_without(["tensorflow", "tensorboard"], set(MODULES) - {"mmnet.__main__"})


def test_import_does_not_load_tensorflow():
    modules = sorted(set(MODULES) - {"mmnet.__main__"})
    code = f"import sys, {', '.join(modules)}; print('tensorflow' in sys.modules)"
    assert run_python(code) == "False\n"


def test_light_folders_do_not_name_tensorflow():
    modules = {module for module in MODULES if folder_of(module) in WITHOUT_TENSORFLOW}
    modules |= WITHOUT_TENSORFLOW_MODULES
    assert len(modules) >= 25
    for module in modules:
        imports = top_imports(module) - SHARED
        assert not any(folder_of(name) == "tf" for name in imports), module


def test_offline_evaluation_needs_numpy_opencv_and_pillow_only():
    modules = {
        name
        for path in glob.glob(os.path.join(ROOT, "offline_infer", "*.py"))
        if os.path.basename(path) in ("evaluate.py", "datapre.py")
        for node in ast.walk(ast.parse(read(path)))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("mmnet.")
        for name in [node.module]
    }
    assert len(modules) >= 5
    blocked = ["tensorflow", "humanfriendly", "overload", "yaml", "deprecation"]
    load_without(blocked, modules)


def test_import_of_mmnet_loads_nothing_heavy():
    code = """
import json, sys
import mmnet
heavy = sorted({"numpy", "cv2", "tensorflow", "yaml", "humanfriendly"} & set(sys.modules))
import mmnet.cli
print(json.dumps([heavy, "tensorflow" in sys.modules]))
"""
    assert json.loads(run_python(code)) == [[], False]


def test_typing_mistakes_are_reported_before_tensorflow_loads(portraits, tmp_path):
    missing, output = str(tmp_path / "none"), str(tmp_path / "out")
    (tmp_path / "MMNetModel-1.index").write_text("")
    data, source = ["--dataset_path", portraits], ["--checkpoint_path", str(tmp_path)]
    photo = os.path.join(portraits, "test", "image", "portrait0_0001.jpg")
    valid = {  # a command line without a mistake
        "train": data + ["--train_dir", output],
        "launch": ["--", "train", *data, "--train_dir", output],
        "evaluate": data + source,
        "predict": [photo, "--output", output] + source,
        "demo": source,
        "freeze": source + ["--output", output],
        "export": source + ["--format", "pb", "--output", output] + data,
        "parity": ["x.pb"] + source + data,
        "card": [str(tmp_path)],
        "benchmark": [str(tmp_path)],
        "info": [str(tmp_path)],
        "check-batch-norm": source + data,
        "calibrate": source + data,
        "weights": ["list"],
        "synthesize": ["--output", output],
        "data": ["check", portraits],
        "doctor": [],
        "completion": ["bash"],
    }
    assert valid.keys() == COMMANDS.keys()
    cases = []
    for command, flags in valid.items():
        cases.append([command, "--config", missing] + flags)
        names = {field.name for field in dataclasses.fields(load_command(command).Options)}
        for name in ("dataset_path", "calibration_dataset", "checkpoint_path"):
            if name in names:
                cases.append([command] + flags + [f"--{name}", missing])
    cases += [
        ["benchmark", missing],
        ["benchmark", missing + ".tflite"],
        ["info", missing],
        ["card", missing],
    ]
    code = """
import contextlib, io, json, sys
from mmnet.cli import main
results = []
for arguments in json.loads(%r):
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr):
        code = main(arguments)
    results.append([code, stderr.getvalue()])
print(json.dumps([results, "tensorflow" in sys.modules]))
"""
    results, has_tensorflow = json.loads(run_python(code % json.dumps(cases)))
    assert not has_tensorflow
    assert len(results) == len(cases) >= 25
    for arguments, (code, error) in zip(cases, results):
        assert code == 2 and error.count("\n") == 1, (arguments, error)
        assert_message(error, missing)
    assert not os.path.exists(output)


@pytest.fixture(scope="module")
def read_options():
    """Names of all attributes that the commands read of their options."""
    names = set(NETWORK_FLAGS)  # network_fields reads them by name
    for module in MODULES:
        if folder_of(module) == "commands":
            for node in ast.walk(TREES[module]):
                if isinstance(node, ast.Attribute):
                    owner = getattr(node.value, "id", None)
                    names |= {node.attr} if owner in ("options", "self") else set()
    return names


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_read(command, read_options):
    fields = {field.name for field in dataclasses.fields(load_command(command).Options)}
    assert not fields - read_options


def test_only_commands_read_options():
    for module, tree in TREES.items():
        if folder_of(module) in ("commands", "cli", ""):
            continue
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert "settings" not in names, module


def test_npu_bridge_is_named_only_in_device():
    modules = {module for module, path in MODULES.items() if "import npu_bridge" in read(path)}
    modules |= {module for module, path in MODULES.items() if "from npu_bridge" in read(path)}
    assert modules == {"mmnet.tf.device"}


def test_files_and_folders_stay_small():
    lines = {module: read(path).count("\n") for module, path in MODULES.items()}
    assert not [module for module in lines if lines[module] > MAX_FILE_LINES]
    folders = collections.Counter()
    for module in lines:
        folders[folder_of(module)] += lines[module]
    total = sum(lines.values())
    assert total <= MAX_PACKAGE_LINES
    assert not [name for name in folders if folders[name] > MAX_FOLDER_SHARE * total]


def test_functions_stay_small():
    lengths = {}
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                lengths[f"{module}.{node.name}"] = body_length(node)
    assert not [name for name in lengths if lengths[name] > MAX_FUNCTION_LINES]
    assert sum(length > 40 for length in lengths.values()) <= MAX_LONG_FUNCTIONS


def body_length(function):
    """Return the lines of a function without its docstring.

    end_lineno does not exist on Python 3.7; the last line of any node replaces it.
    """
    last_line = max(getattr(node, "lineno", 0) for node in ast.walk(function))
    first_line = function.lineno
    docstring = ast.get_docstring(function)
    return last_line - first_line + 1 - (docstring.count("\n") + 1 if docstring else 0)
