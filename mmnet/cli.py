"""The command line: flags from config.py, results to stdout, everything else to stderr, exit codes.

0: done. 1: done in part (predict), a model that differs from its checkpoint (freeze, export, parity), a checkpoint that
is not well (selfcheck). 2: bad input, one line on stderr. 130: Ctrl-C.
"""
import argparse
import dataclasses
import json
import logging
import os
import sys

from humanfriendly import format_size

from mmnet import __version__, config
from mmnet.files import is_writable, write_bytes

log = logging.getLogger("mmnet")


def main(argv=None):
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="mmnet: %(message)s")
    verb = "mmnet"
    try:
        flags = vars(_parser().parse_args(argv))
        verb = flags.pop("verb")
        preset = flags.pop("config", None)
        return RUN[verb](config.resolve(verb, flags, preset))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        sys.stderr.close()
        return 1
    except (ValueError, OSError) as error:
        log.debug("", exc_info=True)
        return _fail(verb, error)


def run_train(settings):
    _need_writable("--train_dir", settings.train_dir)
    if settings.dataset_weights and len(settings.dataset_weights) != len(settings.dataset_path):
        raise ValueError("--dataset_weights: one number for each of the %d data sets, not %d"
                         % (len(settings.dataset_path), len(settings.dataset_weights)))

    from mmnet.training.train import train

    return train(settings)


def run_evaluate(settings):
    from mmnet.data.pairs import load_pairs

    if settings.model:
        _need_model_only(settings, output=None, valid_type="once")
    pairs = load_pairs(settings.dataset_path, settings.dataset_split_name)

    from mmnet.delivery.validate import validate  # TensorFlow, once the data is known to be good
    from mmnet.scoring import report

    results = [_evaluate_model(settings, pairs)] if settings.model else validate(
        pairs, settings.dataset_split_name, settings.checkpoint_path, settings.valid_type == "loop", settings.output,
        settings.watch_timeout, settings.width_multiplier, settings.size, settings.target_eval_shape,
        settings.batch_size, settings.all_metrics, settings.use_ema, settings.device)
    for result in results:
        print(json.dumps(report.published(result, settings.dataset_split_name)) if settings.json
              else report.text(result, settings.worst), flush=True)
    return 0


def _evaluate_model(settings, pairs):
    from mmnet.scoring import evaluate, report

    model = _model(settings)
    evaluation = evaluate.evaluate(model, pairs, model.size, settings.target_eval_shape, settings.batch_size,
                                   settings.all_metrics)
    return report.Result(settings.model, None, evaluation.stems, evaluation.scores)


def run_predict(settings):
    if settings.model:
        _need_model_only(settings)
    _need_writable("--output", settings.output)

    from mmnet.delivery import predict
    from mmnet.delivery.predictor import CheckpointPredictor

    photos = predict.find_photos(settings.photos, settings.output)
    background = settings.background and predict.load_background(settings.background)
    if settings.model:
        predictor = _model(settings)
    else:
        predictor = CheckpointPredictor.open(settings.checkpoint_path, settings.width_multiplier, settings.size,
                                             settings.use_ema, settings.device)
    size = predictor.size if settings.model else settings.size
    failed = 0
    for result in predict.predict_photos(predictor, photos, settings.output, background, size):
        failed += result.error is not None
        if settings.json:
            print(json.dumps(result._asdict()), flush=True)
        elif result.error:
            log.warning("skipped: %s", result.error)
        else:
            print("%s -> %s (person: %.1f %% of the picture)" % (result.photo, result.composition or result.cutout,
                                                                 100 * result.person_share), flush=True)
    return 0 if not failed else 2 if failed == len(photos) else 1


def run_freeze(settings):
    for flag, path in (("--output", settings.output), ("--graph", settings.graph)):
        if path and os.path.isdir(path):
            raise ValueError("%s %s is a folder: give the name of a file" % (flag, path))
        if path:
            _need_writable(flag, os.path.dirname(os.path.abspath(path)))
    pairs = None
    if settings.dataset_path:
        from mmnet.data.pairs import find_pairs

        pairs = find_pairs(settings.dataset_path, settings.dataset_split_name)[0]

    from mmnet.delivery import freeze, graphs
    from mmnet.delivery.predictor import CheckpointPredictor

    predictor = CheckpointPredictor.open(settings.checkpoint_path, settings.width_multiplier, settings.size,
                                         settings.use_ema, as_written=True)
    try:
        frozen = freeze.freeze(predictor, settings.output, freeze.pictures_to_compare(pairs, settings.size),
                               settings.preprocess, settings.output_type, settings.fold_batch_norm)
    except freeze.NotEqual as error:
        _fail("freeze", error)
        return 1
    if settings.graph:
        write_bytes(settings.graph, graphs.inference_graph(
            None, settings.width_multiplier, settings.size, settings.preprocess, settings.output_type).SerializeToString())
    print(json.dumps(frozen._asdict()) if settings.json else freeze.text(frozen))
    return 0


def run_export(settings):
    _need_writable("--output", settings.output)
    from mmnet.data.pairs import find_pairs

    pairs = calibration = None
    if settings.dataset_path:
        pairs = find_pairs(settings.dataset_path, settings.dataset_split_name)[0]

    from mmnet import checkpoint
    from mmnet.delivery import export, freeze
    from mmnet.delivery.predictor import CheckpointPredictor

    formats = list(dict.fromkeys(settings.format))
    export.need_training_split(settings.calibration_split)
    prefix = checkpoint.resolve(settings.checkpoint_path)
    predictor = CheckpointPredictor.open(prefix, settings.width_multiplier, settings.size, settings.use_ema,
                                         as_written=True)
    export.need_together(formats, settings.precision, settings.io, bool(settings.calibration_dataset),
                         bool(predictor.ranges))
    if settings.calibration_dataset:
        calibration = export.calibration_of(
            find_pairs(settings.calibration_dataset, settings.calibration_split)[0], settings.size,
            settings.calibration_pictures, settings.calibration_dataset, settings.calibration_split,
            settings.calibration_method)
    try:
        done = export.export(predictor, prefix, settings.output, formats,
                             freeze.pictures_to_compare(pairs, settings.size), settings.precision, settings.preprocess,
                             settings.output_type, settings.io, calibration)
    except freeze.NotEqual as error:
        _fail("export", error)
        return 1
    for exported in done:
        print(json.dumps(exported._asdict()) if settings.json else export.text(exported))
    return 0


def run_parity(settings):
    from mmnet.data.pairs import load_pairs

    pairs = load_pairs(settings.dataset_path, settings.dataset_split_name)

    from mmnet import checkpoint
    from mmnet.delivery import models, parity
    from mmnet.delivery.predictor import CheckpointPredictor

    stems = [pair.stem for pair in pairs]
    opened = {path: parity.Replay(path, stems, settings.size, settings.output_type)
              if os.path.isdir(path) and not models.is_model(path) else models.open_model(path, as_written=True)
              for path in settings.models}
    prefix = checkpoint.resolve(settings.checkpoint_path)
    predictor = CheckpointPredictor.open(prefix, settings.width_multiplier, settings.size, settings.use_ema,
                                         as_written=True)
    rows = []
    for row in parity.parity(predictor, prefix, pairs, opened, settings.size, settings.batch_size):
        rows.append(row)
        if settings.json:
            print(json.dumps(parity.to_dict(row)), flush=True)
    if not settings.json:
        print(parity.text(rows, len(pairs)))
    return 1 if any(row.problem for row in rows) else 0


def run_benchmark(settings):
    if settings.train or settings.input:
        return _benchmark_training(settings)
    if not settings.models:
        raise ValueError("name models to measure, or give --train or --input")
    if settings.dataset_path:
        raise ValueError("--dataset_path goes with --train and --input")
    if settings.device:
        raise ValueError("--device goes with --train: models are measured on the processor")
    if settings.adb:
        return _benchmark_on_phone(settings)

    from mmnet.delivery import benchmark

    network = benchmark.Network(settings.width_multiplier, settings.size, settings.use_ema)
    rows = []
    for row in benchmark.benchmark(settings.models, settings.threads, settings.batch or (1,), settings.seconds, network):
        rows.append(row)
        if settings.json:
            print(benchmark.to_json(row), flush=True)
    if not settings.json:
        print(benchmark.text(rows))
    return 0


def _benchmark_training(settings):
    if settings.train and settings.input or settings.models or settings.adb:
        raise ValueError("--train and --input stand alone: no models, no --adb, and one of the two")
    if not settings.dataset_path:
        raise ValueError("--dataset_path is needed: pictures to %s" % ("train on" if settings.train else "prepare"))
    batch = settings.batch or (32,)
    if len(batch) != 1:
        raise ValueError("--batch: one number with --train and --input")
    from mmnet.data.pairs import load_pairs

    pairs = load_pairs(settings.dataset_path, settings.dataset_split_name)

    from mmnet import backend
    from mmnet.delivery import benchmark, benchmark_training

    backend.need_device(settings.device)
    if settings.train:
        rows = benchmark_training.benchmark_steps(pairs, batch[0], settings.size or 256,
                                                  settings.width_multiplier or 1.0, settings.turns, settings.device)
    else:
        rows = benchmark_training.benchmark_input(pairs, batch[0], settings.size or 256, settings.turns)
    if settings.json:
        for row in rows:
            print(benchmark.to_json(row))
    else:
        print(benchmark_training.text(rows, "whole training steps" if settings.train else "input alone"))
    return 0


def _benchmark_on_phone(settings):
    from mmnet.delivery import phone

    rows = list(phone.benchmark_on_phone(settings.adb, settings.models, settings.threads))
    print("\n".join(json.dumps(row._asdict()) for row in rows) if settings.json else phone.text(rows))
    return 0


def run_info(settings):
    from mmnet.delivery import info

    card = info.info(settings.path)
    print(json.dumps(card) if settings.json else info.text(card))
    return 0


def run_selfcheck(settings):
    from mmnet.data.pairs import load_pairs

    pairs = load_pairs(settings.dataset_path, settings.dataset_split_name)

    from mmnet.delivery import selfcheck

    checked = selfcheck.selfcheck(settings.checkpoint_path, pairs[:settings.batch_size], settings.width_multiplier,
                                  settings.size, settings.device)
    print(json.dumps(selfcheck.to_dict(checked)) if settings.json else selfcheck.text(checked))
    return 1 if checked.problems else 0


def run_synthesize(settings):
    from mmnet.data.synthetic import synthesize

    synthesize(settings.dataset_path, settings.dataset_split_name, settings.pictures, settings.seed, settings.shape)
    print("%d portraits in %s" % (settings.pictures, settings.dataset_path))
    return 0


RUN = {"train": run_train, "evaluate": run_evaluate, "predict": run_predict, "freeze": run_freeze,
       "export": run_export, "parity": run_parity, "benchmark": run_benchmark, "info": run_info,
       "selfcheck": run_selfcheck, "synthesize": run_synthesize}


def _need_model_only(settings, **others):
    """Raise ValueError for what means something only of a checkpoint, given beside --model."""
    others.update(checkpoint_path=None, use_ema=False, device=None)
    for name, default in others.items():
        if getattr(settings, name) != default:
            raise ValueError("--model and --%s do not go together: that is for a checkpoint" % name)


def _model(settings):
    """The Model that --model names. Its size is in it; another one given is a mistake."""
    from mmnet.delivery.models import open_model

    model = open_model(settings.model)
    if settings.size not in (model.size, 256):
        raise ValueError("--size %d: %s takes pictures of %d" % (settings.size, settings.model, model.size))
    return model


def _need_writable(flag, folder):
    if not is_writable(folder):
        raise ValueError("%s %s cannot be written" % (flag, folder))


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        sys.exit(_fail(self.prog, message))


def _fail(who, message):
    who = who if who.startswith("mmnet") else "mmnet " + who
    sys.stderr.write("%s: error: %s\n" % (who, " ".join(str(message).split())))
    return 2


def _parser():
    parser = _Parser(prog="mmnet", description="Portrait matting in real time on small devices.")
    parser.add_argument("--version", action="version", version="mmnet " + __version__)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=_Parser)
    verbs.required = True
    for name, settings in config.VERBS.items():
        verb = verbs.add_parser(name, description=settings.__doc__, help=settings.__doc__.splitlines()[0],
                                formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
        verb.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS,
                          help="YAML preset; a flag beside it wins")
        for field in dataclasses.fields(settings):
            _add_flag(verb, field)
    return parser


METAVARS = {config.positive_int: "N", config.positive_ints: "N,N", config.whole_number: "N", config.seed_number: "N",
            config.network_size: "PIXELS", config.positive_float: "X", config.not_negative: "X", config.decay: "X",
            config.timespan: "TIME", config.size_in_bytes: "BYTES"}


def _add_flag(parser, field):
    """A flag that leaves no trace where it is not given, so that a preset or the default can speak."""
    about, kind, count = field.metadata["about"].replace("%", "%%"), field.metadata["kind"], field.metadata["count"]
    options = {"default": argparse.SUPPRESS}
    if kind is config.switch:
        options.update(action="store_const", const="true")
    else:
        metavar = METAVARS.get(kind, field.name.rpartition("_")[2].upper())
        options.update(nargs=count, metavar=("HEIGHT", "WIDTH") if count == 2 else metavar)
    if field.metadata["positional"]:
        parser.add_argument(field.name, help=about, **options)
        return
    if field.default is config.NEEDED:
        about += " (needed)"
    elif field.default is not None and field.default is not False:
        shown = field.default if isinstance(field.default, tuple) else (field.default,)
        show = (lambda value: format_size(value, binary=True)) if kind is config.size_in_bytes else str
        about += " (default: %s)" % " ".join(map(show, shown))
    parser.add_argument("--" + field.name, help=about, **options)
