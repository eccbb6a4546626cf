"""The benchmark verb: models, training steps, the input of training, models on a phone."""

import json

from mmnet.benchmark.models import Load, benchmark, benchmark_lines, machine, to_json
from mmnet.benchmark.phone import benchmark_on_phone, phone_text
from mmnet.benchmark.training import benchmark_input, benchmark_steps, rates_text
from mmnet.data.pairs import find_data_set
from mmnet.device import Device, need_device
from mmnet.files import short_names
from mmnet.inference.tflite import tflite_interpreter
from mmnet.network import decide
from mmnet.weights.find import find_source
from mmnet.weights.registry import DEFAULT
from mmnet.weights.values import Reading


def run(settings):
    if settings.train or settings.input:
        return run_training(settings)
    if settings.adb:
        return run_phone(settings)
    models = settings.models or (DEFAULT,)
    need_threads(models, settings.threads)
    names = short_names(models)
    shown = []
    for threads in settings.threads:
        for batch in settings.batch or (1,):
            load = Load(threads, batch, settings.seconds)
            rows = list(benchmark(models, load, settings.wanted(), Reading(settings.use_ema)))
            if settings.json:
                for row in rows:
                    print(to_json(row), flush=True)
            else:
                first = not shown
                shown += rows
                lines = benchmark_lines(shown, names * (len(shown) // len(names)))
                fresh = lines if first else lines[-len(rows) :]
                print("\n".join([machine()] * first + fresh), flush=True)
    return 0


def need_threads(models, threads):
    """Raise ValueError, before anything is measured, for threads that an interpreter has not."""
    for path in models:
        for count in threads if find_source(path).kind == "tflite" else ():
            tflite_interpreter(count)


def run_training(settings):
    split = settings.dataset_split_name
    data_sets = [find_data_set(path, split) for path in settings.dataset_path]
    network, device = decide(settings.wanted()), Device(settings.device)
    need_device(device)
    (batch,) = settings.batch or (32,)
    if settings.train:
        what = "whole training steps"
        turns = settings.turns
        rows = benchmark_steps(data_sets[0], network, batch=batch, turns=turns, device=device)
    else:
        what = "input alone"
        rows = benchmark_input(data_sets, network, batch=batch, turns=settings.turns)
    if settings.json:
        for row in rows:
            print(to_json(row))
    else:
        print(rates_text(rows, what))
    return 0


def run_phone(settings):
    rows = list(benchmark_on_phone(settings.adb, settings.models, settings.threads))
    if settings.json:
        for row in rows:
            print(json.dumps(row._asdict()))
    else:
        print(phone_text(rows))
    return 0
