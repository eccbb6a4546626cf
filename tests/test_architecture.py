"""The rooms of the house: who may import whom, and no setting that nothing reads."""

import ast
import dataclasses
import glob
import json
import os
import subprocess
import sys

import pytest
from mmnet.commands.settings import NETWORK_FLAGS, VERBS

from helpers import ROOT
from mmnet.commands import settings as settings_module

FILES = sorted(glob.glob(os.path.join(ROOT, "mmnet", "**", "*.py"), recursive=True))
FOUNDATIONS = ("", "network", "compat", "device", "files", "progress")
FOUNDATIONS += ("checkpoint", "checkpoint_files", "events", "memory", "records", "shards")
LEVELS = (  # each may import those before it, and its neighbours
    FOUNDATIONS,
    ("config", "data", "weights", "cluster"),
    ("networks", "scoring"),
    ("training", "inference", "photos"),
    ("export", "benchmark"),
    ("verbs", "api", "delivery"),
    ("cli", "__main__"),
)
LEVEL_OF = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}

# Imported where they are needed: what is not always installed ...
OPTIONAL = {"npu_bridge", "onnx", "tf2onnx", "ai_edge_litert", "PIL"}
OPTIONAL |= {"h5py", "pillow_heif", "av", "gradio", "scipy", "horovod", "psutil"}
# ... and, in these modules, what of ours would bring TensorFlow in for nothing.
LAZY = {"mmnet": {"mmnet.api"}}

NAMES_NO_TENSORFLOW = {"data", "photos", "config", "scoring", "network", "checkpoint_files"}
NAMES_NO_TENSORFLOW |= {"files", "progress", "api", "cli", "memory", "records"}
NAMES_TENSORFLOW = {"mmnet.evaluation.records"}  # it copies checkpoints


def module_of(path):
    """``.../mmnet/data/pairs.py`` -> ``mmnet.datasets.pairs``; a package's own name for __init__."""
    module = os.path.relpath(path, ROOT)[: -len(".py")].replace(os.sep, ".")
    return module[: -len(".__init__")] if module.endswith(".__init__") else module


def room_of(module):
    """``mmnet.datasets.pairs`` -> ``data``; ``mmnet.io.files`` -> ``files``; ``mmnet`` -> ``""``."""
    return (module.split(".") + [""])[1]


MODULES = {module_of(path): path for path in FILES}


def parse(path):
    with open(path, encoding="utf-8") as file:
        return ast.parse(file.read())


def nodes_of(tree, inside):
    """The nodes inside functions, or those outside."""
    pending = [(tree, False)]
    while pending:
        node, is_inside = pending.pop()
        if is_inside == inside:
            yield node
        is_inside = is_inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        pending.extend((child, is_inside) for child in ast.iter_child_nodes(node))


def imports_of(module, inside):
    """The modules that a module imports; ``from mmnet import config`` counts as mmnet.config.

    inside: those that its functions import, or those that come with it.
    """
    for node in nodes_of(parse(MODULES[module]), inside):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "%s imports by a relative name" % module
            for name in node.names:
                full = "%s.%s" % (node.module, name.name)
                yield full if full in MODULES else node.module


def test_every_module_has_its_level():
    rooms = {room_of(module) for module in MODULES}
    assert rooms == set(LEVEL_OF)  # none is forgotten, and none of the list is gone


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"mmnet.tf.compat"}))
def test_imports(module):
    comes_with_it, later = set(imports_of(module, False)), set(imports_of(module, True))
    for name in comes_with_it | later:
        assert name.split(".")[0] not in ("tensorflow", "tf_slim", "keras"), (
            "TensorFlow comes through compat.py"
        )
    for name in comes_with_it | (later - LAZY.get(module, set())):
        if name.split(".")[0] == "mmnet":
            level, own = LEVEL_OF[room_of(name)], LEVEL_OF[room_of(module)]
            assert level <= own, "%s imports %s" % (module, name)
    for name in later - LAZY.get(module, set()):
        assert name.split(".")[0] in OPTIONAL, "%s imports %s in a function" % (module, name)
    assert not {name.split(".")[0] for name in comes_with_it} & OPTIONAL


def test_no_module_imports_itself_by_a_detour():
    graph = {
        module: {name for name in imports_of(module, False) if name in MODULES}
        for module in MODULES
    }
    assert sum(map(len, graph.values())) > 100
    assert circle_in(graph) is None
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c", "a"]
    assert circle_in({"a": {"a"}}) == ["a", "a"]


def circle_in(graph):
    """A circle of a graph (node -> nodes) as a list that ends with its first node, or None."""
    done = set()

    def search(node, way):
        if node in way:
            return way[way.index(node) :] + [node]
        if node in done:
            return None
        done.add(node)
        for following in sorted(graph.get(node, ())):
            circle = search(following, way + [node])
            if circle:
                return circle
        return None

    return next(filter(None, (search(node, []) for node in sorted(graph))), None)


def test_every_module_loads_without_tensorflow():
    load_without(["tensorflow", "tensorboard"], set(MODULES) - {"mmnet.__main__"})


def test_no_module_waits_for_tensorflow():
    modules = sorted(set(MODULES) - {"mmnet.__main__"})
    code = "import sys, %s; print('tensorflow' in sys.modules)" % ", ".join(modules)
    assert run_python(code) == "False\n"


def test_the_rooms_that_never_name_tensorflow():
    modules = {module for module in MODULES if room_of(module) in NAMES_NO_TENSORFLOW}
    modules |= {"mmnet.inference." + name for name in ("predictor", "replay", "card")}
    modules |= {"mmnet.weights.find"}
    modules -= NAMES_TENSORFLOW
    assert len(modules) >= 25
    for module in modules:
        assert "mmnet.tf.compat" not in set(imports_of(module, False)), module


def test_offline_scoring_needs_numpy_and_opencv_only():
    names = ("data.images", "data.pairs", "scoring.metrics", "scoring.evaluate", "scoring.report")
    names += ("inference.replay", "inference.predictor", "inference.card", "weights.find")
    names += ("network", "checkpoint_files", "files", "progress", "records")
    load_without(
        ["tensorflow", "humanfriendly", "overload", "yaml", "deprecation"],
        ["mmnet." + name for name in names],
    )


def load_without(blocked, modules):
    code = "import sys; sys.modules.update(dict.fromkeys(%r)); import %s"
    run_python(code % (list(blocked), ", ".join(sorted(modules))))


def run_python(code):
    """What a fresh Python prints."""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_what_importing_brings_in():
    """``import mmnet`` nothing big; the command line no TensorFlow."""
    code = """
import json, sys
import mmnet
first = sorted({"numpy", "cv2", "tensorflow", "yaml", "humanfriendly"} & set(sys.modules))
import mmnet.cli
print(json.dumps([first, "tensorflow" in sys.modules]))
"""
    assert json.loads(run_python(code)) == [[], False]


def test_typing_errors_are_answered_before_tensorflow_is_imported(portraits, tmp_path):
    none, data, out = str(tmp_path / "none"), ["--dataset_path", portraits], str(tmp_path / "out")
    checkpoint = tmp_path / "MMNetModel-1.index"
    checkpoint.write_text("")
    source = ["--checkpoint_path", str(tmp_path)]
    photo = os.path.join(portraits, "test", "image", "portrait0_0001.jpg")
    whole = {  # a command of each verb in which nothing is wrong so far
        "train": data + ["--train_dir", out],
        "launch": ["train"],
        "evaluate": data + source,
        "predict": [photo, "--output", out] + source,
        "demo": source,
        "freeze": source + ["--output", out],
        "export": source + ["--format", "pb", "--output", out] + data,
        "parity": ["x.pb"] + source + data,
        "benchmark": [str(tmp_path)],
        "info": [str(tmp_path)],
        "selfcheck": source + data,
        "temperature": source + data,
        "weights": ["list"],
        "synthesize": ["--dataset_path", out],
        "data": ["check", portraits],
        "doctor": [],
        "completion": ["bash"],
    }
    assert whole.keys() == VERBS.keys()
    cases = []
    for verb, flags in whole.items():
        cases.append(([verb, "--config", none] + flags, "no preset " + none))
        names = {field.name for field in dataclasses.fields(VERBS[verb])}
        for name in ("dataset_path", "calibration_dataset"):
            if name in names and verb != "synthesize":
                cases.append(([verb] + flags + ["--" + name, none], "no dataset folder " + none))
        if "checkpoint_path" in names:
            cases.append(([verb] + flags + ["--checkpoint_path", none], "no checkpoint " + none))
    cases += [
        (["benchmark", none], "no checkpoint " + none),
        (["benchmark", none + ".tflite"], "no model " + none),
        (["info", none], "no checkpoint " + none),
        (["evaluate", "--model", none + ".onnx"] + data, "no model " + none),
    ]
    code = """
import contextlib, io, json, sys
from mmnet.cli import main
answers = []
for arguments in json.loads(%r):
    error = io.StringIO()
    with contextlib.redirect_stderr(error):
        code = main(arguments)
    answers.append([code, error.getvalue()])
print(json.dumps([answers, "tensorflow" in sys.modules]))
"""
    said = run_python(code % json.dumps([arguments for arguments, _ in cases]))
    answers, has_tensorflow = json.loads(said)
    assert not has_tensorflow
    assert len(answers) == len(cases) >= 25
    for (arguments, says), (code, error) in zip(cases, answers):
        assert code == 2 and says in error and error.count("\n") == 1, (arguments, error)
    assert not os.path.exists(out)


def test_every_setting_is_read():
    read = set(NETWORK_FLAGS)  # NetworkSettings.wanted reads them by name
    for module in MODULES:
        tree = parse(MODULES[module])
        owners = {"settings", "_settings"}  # settings.x, self._settings.x, run.settings.x
        if MODULES[module] == settings_module.__file__:
            owners = {"self"}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                owner = node.value
                name = getattr(owner, "id", None) or getattr(owner, "attr", None)
                read |= {node.attr} if name in owners else set()
    read |= set(lambdas().values())  # training reads them by name
    for verb in VERBS.values():
        for field in dataclasses.fields(verb):
            assert field.name in read, "%s.%s is never read" % (verb.__name__, field.name)


def lambdas():
    """LAMBDAS of training/train.py, read without TensorFlow."""
    for node in parse(MODULES["mmnet.training.train"]).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "LAMBDAS":
            return ast.literal_eval(node.value)
    raise AssertionError("training/train.py has no LAMBDAS")


def test_npu_bridge_is_named_only_in_device():
    named = set()
    for module, path in MODULES.items():
        with open(path, encoding="utf-8") as file:
            named |= {module} if "npu_bridge" in file.read() else set()
    assert named == {"mmnet.tf.device"}
