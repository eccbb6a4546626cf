"""The export verb: a checkpoint as SavedModel, TFLite and ONNX, handed over only with the checkpoint's own alphas."""
import json
import os
import tempfile
from typing import Dict, NamedTuple, Optional

import numpy as np

from mmnet import checkpoint
from mmnet.compat import CONVERTS_GIVEN_RANGES, quiet_converters, tf
from mmnet.data.images import read_image, resize_bilinear
from mmnet.data.pairs import evenly, manifest_sha256
from mmnet.delivery.complexity import complexity_of
from mmnet.delivery.freeze import LARGEST_DIFFERENCE_FOLDED, NotEqual
from mmnet.delivery.graphs import INPUT, OUTPUT, described, fold_batch_norm, inference_graph, native_dilations
from mmnet.delivery.models import bytes_of, card_of, need_module, open_model, sha256_of
from mmnet.files import write_bytes, write_text
from mmnet.networks.quantization import measure_ranges
from mmnet.progress import progress

FORMATS = ("savedmodel", "tflite", "onnx")
ONNX_OPSET = 13
HELD_OUT = ("test", "val", "validation")  # splits that an int8 model must not have seen

# How far alpha may be from the checkpoint's. Rounded weights move single pixels at a border of hair a lot, and few of
# them: what is bounded there is the mean.
MEAN_DIFFERENCE_FLOAT16 = 1e-3
MEAN_DIFFERENCE_DYNAMIC = 1e-2
MEAN_DIFFERENCE_INT8 = 1e-2
BOUNDS = {"float32": ("largest", LARGEST_DIFFERENCE_FOLDED), "float16": ("mean", MEAN_DIFFERENCE_FLOAT16),
          "dynamic": ("mean", MEAN_DIFFERENCE_DYNAMIC), "int8": ("mean", MEAN_DIFFERENCE_INT8)}
PRECISIONS = tuple(BOUNDS)


class Calibration(NamedTuple):
    """What int8's ranges are measured on."""
    images: np.ndarray  # float32 [N,size,size,3] 0..255
    method: str  # "minmax" or "entropy"
    about: dict  # method, data set, split, number of pictures and their manifest's hash


class Exported(NamedTuple):
    """A model file; its card is this as JSON."""
    path: str
    format: str
    precision: str
    input: str  # name, type, shape, what it holds
    output: str
    size: int
    width_multiplier: float
    preprocess: str
    output_type: str
    checkpoint: str  # prefix
    index_sha256: str  # of the checkpoint
    use_ema: bool
    calibration: Optional[dict]
    tensorflow: str
    parameters: int
    multiply_adds: int  # for one picture
    operations: Optional[Dict[str, int]]  # type -> count; None where TensorFlow 1.15 does not tell
    bytes: int
    sha256: str  # of the file, or of the SavedModel's saved_model.pb
    pictures: int  # compared
    largest_difference: float  # of alpha from the checkpoint's, over all pixels
    mean_difference: float


def export(predictor, prefix, folder, formats, images, precision="float32", preprocess="inside", output_type="alpha",
           io="float", calibration=None):
    """Write ``savedmodel/``, ``mmnet_<precision>.tflite``, ``mmnet.onnx``, each with its card, into ``folder``.

    Every one is built and compared in a temporary folder first: all are handed over, or none, and then what was there
    before stays.

    Args:
        predictor: a CheckpointPredictor (``as_written``) with the weights of ``prefix``.
        formats: some of FORMATS. images: float32 [N,size,size,3] 0..255 to compare on.
        precision: of TFLite, one of PRECISIONS; the other formats are float32. "int8" needs a Calibration, or a
            checkpoint that was trained for 8 bits.
        preprocess, output_type: as graphs.inference_graph. io: "float", or "uint8": what an int8 model takes and gives.

    Returns:
        list of Exported.

    Raises:
        NotEqual: a model differs from its checkpoint by more than BOUNDS.
        ValueError: settings that do not go together, a folder that is not ours, a converter that is not installed, or
            one that fails.
    """
    need_together(formats, precision, io, calibration is not None, bool(predictor.ranges))
    old = os.path.join(folder, "savedmodel")
    if "savedmodel" in formats and os.path.lexists(old) and not os.path.isfile(os.path.join(old, "saved_model.pb")):
        raise ValueError("%s is not a SavedModel and stays: move it away or give another --output" % old)
    alphas = predictor(images)
    ranges = ranges_for(predictor, calibration) if precision == "int8" else None
    graph_def = fold_batch_norm(inference_graph(predictor.values(), predictor.width_multiplier, images.shape[1],
                                                preprocess, output_type, precision == "int8", ranges))
    complexity = complexity_of(graph_def)
    about = calibration.about if calibration else {"method": "quantised training"} if ranges else None
    os.makedirs(folder, exist_ok=True)
    done = []
    with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as building:
        for form in formats:
            path = os.path.join(building, file_name(form, precision))
            build(path, form, graph_def, precision, preprocess, output_type, io, None if ranges else calibration)
            model = open_model(path, as_written=True)
            difference = np.abs(model(images) - alphas)
            largest, mean = float(difference.max()), float(difference.mean())
            target = os.path.join(folder, os.path.basename(path))
            wrong = beyond(precision, largest, mean)
            if wrong:
                raise NotEqual("%s is not written: %s" % (target, wrong))
            takes, gives = described(model.size, preprocess, output_type)
            kind = "uint8 " if io == "uint8" else "float32 "
            done.append(Exported(
                target, form, precision, INPUT + " " + kind + takes, OUTPUT + " " + kind + gives, model.size,
                predictor.width_multiplier, preprocess, output_type, prefix, checkpoint.index_sha256(prefix),
                predictor.use_ema, about, tf.__version__, *complexity, model.operations, bytes_of(path),
                sha256_of(path), len(images), largest, mean))
        for exported in done:
            hand_over(os.path.join(building, os.path.basename(exported.path)), exported)
    return done


def build(path, form, graph_def, precision, preprocess, output_type, io, calibration):
    """Write a model and as much of a card as open_model needs."""
    if form == "savedmodel":
        write_savedmodel(path, graph_def)
    elif form == "tflite":
        images = calibration and calibration.images / np.float32(255 if preprocess == "outside" else 1)
        write_bytes(path, to_tflite(native_dilations(graph_def), precision, io, images))
    else:
        said = dict(complexity_of(graph_def)._asdict(), preprocess=preprocess, output_type=output_type)
        write_bytes(path, to_onnx(native_dilations(graph_def), said).SerializeToString())
    write_text(card_of(path), json.dumps({"preprocess": preprocess, "output_type": output_type,
                                          "precision": precision, "sha256": sha256_of(path)}))


def ranges_for(predictor, calibration):
    """The ranges that an int8 model gets, by name; None where the converter measures them on the calibration."""
    if calibration and calibration.method == "minmax":
        return None
    if not CONVERTS_GIVEN_RANGES:
        raise ValueError("TensorFlow %s's TFLite converter takes no given ranges, as %s needs: export with TensorFlow "
                         "2.x (a checkpoint is the same there), or a float checkpoint with --calibration_method minmax"
                         % (tf.__version__, "--calibration_method entropy" if calibration else
                            "a checkpoint of train --quantize"))
    if calibration is None:
        return predictor.ranges
    return measure_ranges(predictor.values(), calibration.images, predictor.width_multiplier, calibration.method)


def need_together(formats, precision, io, calibrated, has_ranges):
    """Raise ValueError for settings that do not go together."""
    others = [form for form in formats if form != "tflite"]
    if precision != "float32" and others:
        raise ValueError("--precision %s is TFLite's only: %s is float32 (export it without --precision)"
                         % (precision, " and ".join(others)))
    if precision == "int8" and not calibrated and not has_ranges:
        raise ValueError("--precision int8 needs --calibration_dataset: training portraits that its ranges are "
                         "measured on (a checkpoint of train --quantize has its own)")
    if calibrated and has_ranges:
        raise ValueError("this checkpoint was trained with --quantize and has its own ranges: leave "
                         "--calibration_dataset out")
    if precision != "int8" and (calibrated or io != "float"):
        raise ValueError("%s goes with --precision int8, not %s" % ("--calibration_dataset" if calibrated else
                                                                   "--io " + io, precision))


def need_training_split(split):
    """Raise ValueError for a split that scores are measured on: a model calibrated on it has seen it."""
    if split.lower() in HELD_OUT:
        raise ValueError("--calibration_split %s: scores are measured on that; calibrate on training pictures" % split)


def calibration_of(pairs, size, pictures, dataset_path, split, method="minmax"):
    """A Calibration of so many ``pairs``, evenly spread."""
    pairs = evenly(pairs, pictures)
    images = [resize_bilinear(read_image(pair.image), (size, size), align_corners=True)
              for pair in progress(pairs, len(pairs), "reading calibration pictures")]
    return Calibration(np.stack(images), method, {
        "method": method, "dataset_path": dataset_path, "split": split, "pictures": len(pairs),
        "pictures_sha256": manifest_sha256(pairs)})


def file_name(form, precision):
    return {"savedmodel": "savedmodel", "tflite": "mmnet_%s.tflite" % precision, "onnx": "mmnet.onnx"}[form]


def beyond(precision, largest, mean):
    """What is wrong where differences of alpha are beyond the precision's bound; None where they are not."""
    kind, bound = BOUNDS[precision]
    value = {"largest": largest, "mean": mean}[kind]
    if value <= bound:  # NaN is not
        return None
    return ("its alphas are %s off the checkpoint's, and at most %g is the rounding of %s"
            % ({"largest": "up to %.3g", "mean": "%.3g in the mean"}[kind] % value, bound, precision))


def write_savedmodel(folder, graph_def):
    graph, x, y = imported(graph_def)
    signature = tf.saved_model.build_signature_def({INPUT: tf.saved_model.build_tensor_info(x)},
                                                   {OUTPUT: tf.saved_model.build_tensor_info(y)},
                                                   tf.saved_model.signature_constants.PREDICT_METHOD_NAME)
    with tf.Session(graph=graph) as session:
        builder = tf.saved_model.Builder(folder)
        builder.add_meta_graph_and_variables(
            session, [tf.saved_model.tag_constants.SERVING],
            {tf.saved_model.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY: signature},
            strip_default_attrs=True)  # TensorFlow 1.15 refuses attributes that it does not know
        builder.save()


def to_tflite(native, precision, io="float", images=None):
    """The bytes of a .tflite of a graph of native_dilations.

    Args:
        io: as export. images: what int8 is calibrated on, float32 [N,size,size,3] as the graph takes them. None: the
            graph has ranges of its own, which TensorFlow 1.15 cannot convert.
    """
    graph, x, y = imported(native)
    with tf.Session(graph=graph) as session, quiet_converters():  # the session only hands the graph over
        converter = tf.lite.TFLiteConverter.from_session(session, [x], [y])
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8" and images is not None:
            converter.representative_dataset = lambda: ([image[None]] for image in images)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if precision == "int8" and images is None:
            converter.inference_type = tf.int8
            converter.inference_input_type = converter.inference_output_type = tf.float32
            converter.quantized_input_stats = {INPUT: (-128, 1)}  # asked for; the graph's own rounding decides
        if io == "uint8":
            converter.inference_input_type = converter.inference_output_type = tf.uint8
        try:
            return converter.convert()
        except Exception as error:  # ConverterError, RuntimeError, ... by TensorFlow's version
            raise ValueError("TensorFlow %s could not convert to TFLite %s: %s"
                             % (tf.__version__, precision, str(error)[:300])) from error


def to_onnx(native, metadata):
    """The ONNX model of a graph of native_dilations, with ``metadata`` (name -> value) in it."""
    need_module("onnx", "--format onnx")
    need_module("tf2onnx", "--format onnx")
    with quiet_converters():
        from tf2onnx import convert

        names = {INPUT + ":0": INPUT, OUTPUT + ":0": OUTPUT}
        model = convert.from_graph_def(native, input_names=[INPUT + ":0"], output_names=[OUTPUT + ":0"],
                                       opset=ONNX_OPSET)[0]
    for value in list(model.graph.input) + list(model.graph.output):
        value.name = names[value.name]
    for node in model.graph.node:
        for tensors in (node.input, node.output):
            tensors[:] = [names.get(name, name) for name in tensors]
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, str(value)
    return model


def imported(graph_def):
    """(graph, its input tensor, its output tensor)."""
    graph = tf.Graph()
    with graph.as_default():
        x, y = tf.import_graph_def(graph_def, name="", return_elements=[INPUT + ":0", OUTPUT + ":0"])
    return graph, x, y


def hand_over(built, exported):
    """Move a model from the temporary folder to its place. The card comes last and names the file's hash, so that a
    model whose card is still the old one is noticed."""
    if exported.format == "savedmodel":
        if os.path.lexists(exported.path):
            os.rename(exported.path, built + "-before")  # deleted with the temporary folder
        os.rename(built, exported.path)
    else:
        os.replace(built, exported.path)
    write_text(card_of(exported.path), json.dumps(exported._asdict(), indent=1) + "\n")


def text(exported):
    operations = exported.operations or {}
    return "\n".join([
        exported.path, "  input   " + exported.input, "  output  " + exported.output,
        "  %d operations: %s" % (sum(operations.values()), ", ".join(
            "%d %s" % (count, name) for name, count in operations.items())) if operations else
        "  operations: this TensorFlow does not tell",
        "  %d bytes, SHA-256 %s" % (exported.bytes, exported.sha256),
        "  difference of alpha from the checkpoint over %d pictures: largest %.2g, mean %.2g" % (
            exported.pictures, exported.largest_difference, exported.mean_difference)])
