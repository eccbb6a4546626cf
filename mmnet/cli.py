"""The command line: flags from config.py, results to stdout, everything else to stderr, exit codes.

0: done. 1: done in part (predict). 2: bad input, one line on stderr. 130: Ctrl-C.
"""
import argparse
import dataclasses
import json
import logging
import sys

from humanfriendly import format_size

from mmnet import __version__, config
from mmnet.files import is_writable

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

    pairs = load_pairs(settings.dataset_path, settings.dataset_split_name)

    from mmnet.delivery.validate import validate  # TensorFlow, once the data is known to be good
    from mmnet.scoring import report

    results = validate(pairs, settings.dataset_split_name, settings.checkpoint_path, settings.valid_type == "loop",
                       settings.output, settings.watch_timeout, settings.width_multiplier, settings.size,
                       settings.target_eval_shape, settings.batch_size, settings.all_metrics, settings.use_ema)
    for result in results:
        print(json.dumps(report.published(result, settings.dataset_split_name)) if settings.json
              else report.text(result, settings.worst), flush=True)
    return 0


def run_predict(settings):
    _need_writable("--output", settings.output)

    from mmnet.delivery import predict
    from mmnet.delivery.predictor import CheckpointPredictor

    photos = predict.find_photos(settings.photos, settings.output)
    background = settings.background and predict.load_background(settings.background)
    predictor = CheckpointPredictor.open(settings.checkpoint_path, settings.width_multiplier, settings.size,
                                         settings.use_ema)
    failed = 0
    for result in predict.predict_photos(predictor, photos, settings.output, background, settings.size):
        failed += result.error is not None
        if settings.json:
            print(json.dumps(result._asdict()), flush=True)
        elif result.error:
            log.warning("skipped: %s", result.error)
        else:
            print("%s -> %s (person: %.1f %% of the picture)" % (result.photo, result.composition or result.cutout,
                                                                 100 * result.person_share), flush=True)
    return 0 if not failed else 2 if failed == len(photos) else 1


def run_synthesize(settings):
    from mmnet.data.synthetic import synthesize

    synthesize(settings.dataset_path, settings.dataset_split_name, settings.pictures, settings.seed, settings.shape)
    print("%d portraits in %s" % (settings.pictures, settings.dataset_path))
    return 0


RUN = {"train": run_train, "evaluate": run_evaluate, "predict": run_predict, "synthesize": run_synthesize}


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


METAVARS = {config.positive_int: "N", config.whole_number: "N", config.seed_number: "N", config.network_size: "PIXELS",
            config.positive_float: "X", config.not_negative: "X", config.decay: "X", config.timespan: "TIME",
            config.size_in_bytes: "BYTES"}


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
