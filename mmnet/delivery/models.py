"""A model file as a ``Predict``: images float32 [N,size,size,3] 0..255 -> alphas float32 [N,size,size] 0..1.

``open_model`` knows them all: a frozen graph (.pb), a SavedModel's folder, .tflite and .onnx.
"""
import hashlib
import json
import os
from collections import Counter
from functools import partial

import numpy as np

from mmnet.backend import session_config
from mmnet.compat import TFLITE_THREADS, quiet_converters, tf
from mmnet.delivery.complexity import complexity_in, complexity_of_graph
from mmnet.delivery.graphs import INPUT, OUTPUT, OUTPUT_TYPES, PREPROCESS

GRAPH_OUTPUTS = {"Softmax": "probabilities", "Sigmoid": "alpha"}  # operation of ``output`` -> output_type; else logits


class Model:
    """What every model file has in common; a subclass opens it, sets these and has ``run``.

    Attributes:
        size: side of the input in pixels. preprocess, output_type: as graphs.inference_graph has them.
        precision: one of export.PRECISIONS. operations: type -> count, or None where it cannot be told.
        complexity: complexity.Complexity, or None where it cannot be told. batch: pictures a run.
    """
    precision = "float32"
    operations = None
    complexity = None

    def run(self, images):
        """The model's own float32 output for its own input, [batch,size,size,3]."""
        raise NotImplementedError

    def __call__(self, images):
        """images: as many as a multiple of ``batch``."""
        images = np.asarray(images, np.float32)
        if self.preprocess == "outside":
            images = images / np.float32(255)
        return np.concatenate([alphas_of(self.run(images[start:start + self.batch]), self.output_type)
                               for start in range(0, len(images), self.batch)])


class FrozenPredictor(Model):
    """A frozen graph of ``mmnet freeze``.

    ``size``, ``preprocess`` and ``output_type`` are read from the graph, as delivery.graphs.inference_graph made it.
    """

    def __init__(self, path, as_written=False, threads=None, batch=1):
        """
        Args:
            as_written, threads: as backend.session_config. batch: pictures a run.

        Raises:
            FileNotFoundError: no such file. ValueError: no GraphDef, or none with ``input_x`` and ``output``.
        """
        if not os.path.isfile(path):
            raise FileNotFoundError("no frozen graph %s" % path)
        graph_def = tf.GraphDef()
        try:
            with open(path, "rb") as file:
                graph_def.ParseFromString(file.read())
            self._read(graph_def)
        except Exception as error:  # protobuf's DecodeError is not importable under one name; KeyError: another graph
            raise ValueError("%s is not a frozen graph with %s and %s (%s: %s)" % (
                path, INPUT, OUTPUT, type(error).__name__, error)) from None
        self._open(path, graph_def, as_written, threads, batch)

    def _read(self, graph_def):
        nodes = {node.name: node for node in graph_def.node}
        self.size = int(nodes[INPUT].attr["shape"].shape.dim[1].size)
        self.preprocess = "inside" if PREPROCESS in nodes else "outside"
        self.output_type = GRAPH_OUTPUTS.get(nodes[OUTPUT].op, "logits")
        self.operations = counted(node.op for node in graph_def.node)

    def _open(self, path, graph_def, as_written, threads, batch):
        self.batch = batch
        for node in graph_def.node:
            node.attr.pop("_output_shapes", None)  # of one picture
        graph = tf.Graph()
        with graph.as_default():
            self._x = tf.placeholder(tf.float32, [batch, self.size, self.size, 3])
            try:  # another placeholder, for the file's own takes one picture
                self._y, = tf.import_graph_def(graph_def, {INPUT + ":0": self._x}, [OUTPUT + ":0"], name="")
            except ValueError as error:
                raise ValueError("%s cannot be loaded by TensorFlow %s (%s)" % (
                    path, tf.__version__, str(error).splitlines()[0])) from None
        self.complexity = complexity_of_graph(graph)
        self._session = tf.Session(graph=graph, config=session_config(as_written=as_written, threads=threads))

    def run(self, images):
        return self._session.run(self._y, {self._x: images})


class SavedModelPredictor(FrozenPredictor):
    """A SavedModel of ``mmnet export``: the folder with saved_model.pb in it."""

    def __init__(self, path, as_written=False, threads=None, batch=1):
        """
        Args:
            as_written, threads: as backend.session_config. batch: pictures a run.

        Raises:
            ValueError: no SavedModel that this TensorFlow loads, or none of ``mmnet export``.
        """
        try:
            with tf.Graph().as_default() as graph, tf.Session(config=session_config(threads=threads)) as session:
                tf.saved_model.load(session, [tf.saved_model.tag_constants.SERVING], path)
            graph_def = graph.as_graph_def()  # its weights are inside: there are no variables to keep the session for
            self._read(graph_def)
        except Exception as error:  # OSError, RuntimeError, OpError, DecodeError by what is wrong and which TensorFlow
            raise ValueError("%s is not a SavedModel with %s and %s (%s: %s)" % (
                path, INPUT, OUTPUT, type(error).__name__, str(error).splitlines()[0])) from None
        self._open(path, graph_def, as_written, threads, batch)


class TFLitePredictor(Model):
    """A .tflite; what it takes and gives says its card, for the file does not."""

    def __init__(self, path, threads=None, batch=1):
        """
        Args:
            threads: None leaves it to the interpreter. batch: pictures a run.

        Raises:
            ValueError: no TFLite model, none of one square picture, no card, or no interpreter is installed.
        """
        card = read_card(path)
        self.batch, self.complexity = batch, complexity_in(card)
        self.preprocess, self.output_type, self.precision = (card[key] for key in CARD_KEYS)
        with quiet_converters():
            interpreter = tflite_interpreter(threads)
            try:
                self._interpreter = interpreter(model_path=path)
                self._interpreter.allocate_tensors()
            except (RuntimeError, TypeError, ValueError) as error:  # by TensorFlow's version
                raise ValueError("%s is not a TFLite model that runs here (%s)" % (path, error)) from None
        self._input, = self._interpreter.get_input_details()
        self._output, = self._interpreter.get_output_details()
        self.size = side_of(path, self._input["shape"])
        if batch > 1:
            self._interpreter.resize_tensor_input(self._input["index"], [batch, self.size, self.size, 3])
            self._interpreter.allocate_tensors()
        if hasattr(self._interpreter, "_get_ops_details"):  # XNNPACK adds DELEGATE, which is not in the file
            ops = [op["op_name"] for op in self._interpreter._get_ops_details()]
            self.operations = counted(op for op in ops if op != "DELEGATE")

    def run(self, images):
        tensor = images
        if self._input["dtype"] != np.float32:  # value = scale (tensor - zero)
            scale, zero = self._input["quantization"]
            limits = np.iinfo(self._input["dtype"])
            tensor = np.rint(images / scale + zero).clip(limits.min, limits.max).astype(self._input["dtype"])
        self._interpreter.set_tensor(self._input["index"], tensor)
        self._interpreter.invoke()
        output = self._interpreter.get_tensor(self._output["index"])
        if output.dtype != np.float32:
            scale, zero = self._output["quantization"]
            output = np.float32(scale) * (output.astype(np.float32) - zero)
        return output


class OnnxPredictor(Model):
    """An .onnx; what it takes and gives says its metadata, else its card."""

    def __init__(self, path, threads=None, batch=1):
        """
        Args:
            threads: None leaves it to onnxruntime. batch: pictures a run; other than 1 takes the package onnx.

        Raises:
            ValueError: no ONNX model, none with ``input_x`` and ``output``, or onnxruntime is not installed.
        """
        onnxruntime = need_module("onnxruntime", "running an .onnx")
        try:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3  # errors
            options.intra_op_num_threads = threads or 0
            self._session = onnxruntime.InferenceSession(of_batch(path, batch) if batch > 1 else path, options,
                                                         providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes are not importable under one name
            raise ValueError("%s is not an ONNX model that runs here (%s)" % (path, error)) from None
        shapes = {value.name: value.shape for value in self._session.get_inputs()}
        if INPUT not in shapes or OUTPUT not in [value.name for value in self._session.get_outputs()]:
            raise ValueError("%s has no %s and %s" % (path, INPUT, OUTPUT))
        self.size, self.batch = side_of(path, shapes[INPUT], batch), batch
        said = self._session.get_modelmeta().custom_metadata_map
        if not {"preprocess", "output_type"} <= said.keys():
            said = read_card(path)
        self.preprocess, self.output_type = said["preprocess"], said["output_type"]
        self.complexity = complexity_in(said)
        try:
            import onnx  # not needed to run a model, and not always there where one runs
            self.operations = counted(node.op_type for node in onnx.load(path).graph.node)
        except ImportError:
            pass

    def run(self, images):
        return self._session.run([OUTPUT], {INPUT: images})[0]


def open_model(path, as_written=False, threads=None, batch=1):
    """A model file as a Predict that knows its size, preprocess, output_type, precision and operations: a Model.

    Args:
        path: .pb, .tflite, .onnx or a SavedModel's folder. as_written: as backend.session_config, for the first and
            the last. threads: to run on; None leaves it to what runs it. batch: pictures a run.

    Raises:
        FileNotFoundError: nothing there. ValueError: no model, or what runs it is not installed; says what to install.
    """
    if os.path.isdir(path):
        if not os.path.isfile(os.path.join(path, "saved_model.pb")):
            raise ValueError("%s is not a model: a folder with saved_model.pb in it is" % path)
        return SavedModelPredictor(path, as_written, threads, batch)
    if not os.path.isfile(path):
        raise FileNotFoundError("no model %s" % path)
    kind = os.path.splitext(path)[1].lower()
    if kind == ".pb":
        return FrozenPredictor(path, as_written, threads, batch)
    if kind not in (".tflite", ".onnx"):
        raise ValueError("%s: a model is a .pb, a .tflite, an .onnx or a SavedModel's folder, not %r" % (path, kind))
    return (TFLitePredictor if kind == ".tflite" else OnnxPredictor)(path, threads, batch)


def is_model(path):
    """Whether a path means a model file rather than a checkpoint."""
    return (os.path.splitext(path)[1].lower() in (".pb", ".tflite", ".onnx")
            or os.path.isfile(os.path.join(path, "saved_model.pb")))


CARD_KEYS = ("preprocess", "output_type", "precision")


def card_of(path):
    """Where the card of a model lies."""
    return os.path.normpath(path) + ".json"


def read_card(path):
    """The card that ``mmnet export`` wrote beside a model.

    Raises:
        ValueError: no card, not a card, or another file's.
    """
    try:
        with open(card_of(path), encoding="utf-8") as file:
            card = json.load(file)
        known = (card["preprocess"] in ("inside", "outside") and card["output_type"] in OUTPUT_TYPES
                 and all(key in card for key in CARD_KEYS))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError("%s does not say what it takes and gives, and its card, which mmnet export writes beside it, "
                         "cannot be read (%s: %s)" % (path, type(error).__name__, error)) from None
    if not known:
        raise ValueError("%s is not a card of mmnet export" % card_of(path))
    if card.get("sha256") != sha256_of(path):
        raise ValueError("%s is the card of another file than %s: export it again" % (card_of(path), path))
    return card


def sha256_of(path):
    """Of a model's file; of the saved_model.pb in a SavedModel, which holds the weights too."""
    with open(os.path.join(path, "saved_model.pb") if os.path.isdir(path) else path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def bytes_of(path):
    """Size of a model's file, or of all the files in a SavedModel."""
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)


def alphas_of(output, output_type):
    """[N,size,size] from what a model gives: probabilities or logits [N,size,size,2], or alpha [N,size,size,1]."""
    if output_type == "logits":
        return 1 / (1 + np.exp(output[..., 0] - output[..., 1]))
    return output[..., -1]


def side_of(path, shape, batch=1):
    shape = list(shape)
    if len(shape) != 4 or shape[0] != batch or shape[1] != shape[2] or shape[3] != 3:
        raise ValueError("%s takes %s, not [%d,size,size,3]" % (path, shape, batch))
    return int(shape[1])


def of_batch(path, batch):
    """An ONNX model, as bytes, that takes and gives so many pictures a run."""
    onnx = need_module("onnx", "a batch of more than one picture in an .onnx")
    model = onnx.load(path)
    for value in list(model.graph.input) + list(model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]  # shapes between, of one picture
    shapes = {node.input[-1] for node in model.graph.node if node.op_type in ("Reshape", "Resize")}
    for tensor in model.graph.initializer:  # those that name one picture
        values = onnx.numpy_helper.to_array(tensor)
        if tensor.name in shapes and tensor.data_type == onnx.TensorProto.INT64 and len(values) == 4:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array([batch, *values[1:]], np.int64), tensor.name))
    return model.SerializeToString()


def counted(operations):
    return dict(Counter(operations).most_common())


def tflite_interpreter(threads=None):
    """The class that runs .tflite: of ai_edge_litert, or of TensorFlow, which is to lose its own."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        if not hasattr(tf.lite, "Interpreter"):
            raise ValueError("running a .tflite needs ai-edge-litert, for TensorFlow %s has no interpreter: "
                             "pip install ai-edge-litert" % tf.__version__) from None
        Interpreter = tf.lite.Interpreter
    if threads is None or not TFLITE_THREADS and threads == 1:
        return Interpreter
    if not TFLITE_THREADS:
        raise ValueError("TensorFlow %s's TFLite runs on one thread, not %d" % (tf.__version__, threads))
    return partial(Interpreter, num_threads=threads)


def need_module(name, what_for):
    """An optional package.

    Raises:
        ValueError: it is not installed; says how to.
    """
    try:
        return __import__(name)
    except ImportError as error:
        raise ValueError("%s needs %s (%s): pip install '.[export]' in this repository, or pip install %s"
                         % (what_for, name, error, name)) from None
