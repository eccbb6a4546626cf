"""mmnet: portrait matting in real time on small devices (MMNet, arXiv 1904.03816).

    import mmnet
    rgba = mmnet.cutout("anna.jpg")                   # path, bytes, array or PIL image -> [H,W,4]
    image = mmnet.cutout_image("anna.jpg")            # the same as a PIL image
    predictor = mmnet.load("run/MMNetModel-1898000")  # or a name, folder, .pb, .tflite, .onnx
    alpha = mmnet.matte("anna.jpg", predictor)        # float32 [H,W], 0..1

Folders. tests/test_architecture.py defines which folder may import which.

    io/           files (atomic writes); extensions; images (containers, pil_images, png, colour,
                  exif); masks; clips (frame_colour, timeline, truncation, clip_tracks); resize,
                  foreground colours, records, parallel, progress, tar shards, tables, errors, lazy
                  (imports on use). No TensorFlow.
    tf/           compat (the only module that imports TensorFlow), device, checkpoint
    datasets/     pairs, cache, augmentation, batches, duplicates, synthetic
    datatools/    layouts of other datasets, supervisely, convert, statistics, report page
    networks/     network (the value Network), registry, layers, quantization, inference_graph,
                  mmnet, deeplab, mobilenet_v2, modnet, tiny
    training/     setup (resolve), input (data), train (build, restore, loop), graph,
                  losses, schedule, restore, saver, lineage, logger, batch_norm_check
    distributed/  members, launch, group (all-reduce, broadcast), heartbeat
    inference/    predictor (the interface), open, checkpoints, tensorflow, tflite, onnx, replay,
                  card, complexity (of graphs), sizes (of networks and models)
                  signature, recipes, foreign, trial (models of other projects), ensemble
    weights/      registry (names, licences), values, write, download, convert
    matting/      load, photo, cleaning, refine, background, compose, clip, tracking, temporal,
                  files, process
    evaluation/   metrics, evaluate, comparison, calibration, clips, records, report
    export/       export, comparison, formats, graphs, representative (images for int8), web/
    benchmark/    models, steps, clip_steps
    demo/         app (the web server), processing, page.html
    commands/     one file per command: its options and run(options)
    cli.py        argument parser, dispatch, exit codes
    api.py        load, matte, cutout, cutout_image

One photo from file to result: load_photo -> matte_photo (run_network twice, enlarge_alpha) ->
render_outputs (estimate_foreground) -> Output.write.

No module imports TensorFlow when it is imported. A .tflite or .onnx file runs without it.

Vocabulary

    image, images      RGB 0..255, [H,W,3] / [N,H,W,3]: uint8 for photos and frames, float32 for
                       network input
    images01           the same in 0..1, inside graphs only
    alpha, alphas      opacity of the person, float32 0..1: [H,W] in numpy, [N,H,W,1] in graphs
    mask               the alpha as a dataset stores it (8-bit file)
    logits             [N,H,W,2]: background, foreground; or [N,H,W,1]: their difference
    heads              outputs of a network that only training uses, by name
    shape              (height, width), always in this order; multiples of 32 for networks
    size               side length of a square input, as in the flag --size
    width_multiplier   channel multiplier of a network
    pair               an image path and its mask path
    sample             a pair resized to one shape: image and mask, uint8
    source             where a trained network is opened from: name, checkpoint or model file
    prefix             path of a checkpoint without .index
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmnet.api import cutout, cutout_image, load, matte

__version__ = "0.3.0"
__all__ = ["cutout", "cutout_image", "load", "matte"]


def __getattr__(name):
    """Import a public function when it is used first."""
    if name in __all__:
        from mmnet import api

        return getattr(api, name)
    raise AttributeError(f"module 'mmnet' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
