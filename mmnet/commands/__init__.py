"""The commands by name. A command file holds its options and ``run(options)``, no numerics.

Only the file of the command that runs is imported, so ``mmnet --help`` starts quickly.
"""

import importlib

COMMANDS = {  # name -> summary for mmnet --help
    "predict": "Cut people out of photos and clips.",
    "evaluate": "Score a trained network on a dataset.",
    "train": "Train a network.",
    "launch": "Train with several processes.",
    "demo": "Open a page in the browser that cuts out photos.",
    "export": "Write a checkpoint as SavedModel, TFLite, ONNX, frozen graph or web page.",
    "freeze": "Write a checkpoint as one frozen graph (.pb).",
    "card": "Describe a model of another project, so that other commands accept it.",
    "parity": "Compare model files with their checkpoint.",
    "benchmark": "Measure latency and memory of models.",
    "info": "Show the card of a checkpoint or model file.",
    "calibrate": "Select the logit scale of a checkpoint.",
    "check-batch-norm": "Check that the moving statistics of batch norm fit the weights.",
    "weights": "List, download, average or convert weights.",
    "data": "Convert, check or split datasets.",
    "synthesize": "Draw synthetic portraits as a dataset.",
    "doctor": "Show which optional components are installed.",
    "completion": "Print the shell code that completes commands and flags.",
}
RENAMED_COMMANDS = {"temperature": "calibrate", "selfcheck": "check-batch-norm"}  # in 0.3


def load_command(name: str):
    """Import the module of a command. It has ``Options`` and ``run(options) -> exit code``."""
    return importlib.import_module("mmnet.commands." + name.replace("-", "_"))
