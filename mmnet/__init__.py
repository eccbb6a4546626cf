"""mmnet: portrait matting in real time on small devices (MMNet, arXiv 1904.03816).

Three names are for you; they are imported when they are asked for:

    import mmnet
    rgba = mmnet.cutout("anna.jpg")                   # path, bytes, array or PIL image -> [H,W,4]
    predictor = mmnet.load("run/MMNetModel-1898000")  # or a name, folder, .pb, .tflite, .onnx, ...
    alpha = mmnet.matte("anna.jpg", predictor)        # float32 [H,W] 0..1

Rooms, and the direction of imports (each may use those above it):

    network.py      the value Network: which network, without TensorFlow
    compat.py       the only import of TensorFlow (1.15 and 2.x, graph mode), when it is first used
    device.py       the value Device: cpu, gpu or npu; sessions, loss scaling
    files.py        regular files in, whole files out      progress.py   progress of long work
    checkpoint.py   read, restore with a report, write, watch
    checkpoint_files.py   their names and files            events.py     TensorBoard
    shards.py       parts of very many photos; tar files of their results
    config/         kinds (text -> value) · settings (one dataclass a verb) · resolve (flags,
                    presets)
    weights/        registry (names) · download · find (what a source names) · values (the value
                    Weights) · write · convert (of others) · torch_file · persons/, fast/, video/
                    (in the box)
    data/           images · pairs (the value Dataset) · samples (decoded once, cached) ·
                    foreground (a person's own colours) · augment · batches (what a training step
                    gets) · synthetic (made-up portraits) · layouts (of others' datasets) · convert
                    · similar (near-duplicates) · survey (what a dataset holds) · sheet (the same
                    as HTML) · pages (what pages share) · tfrecords (packed pairs)
    cluster/        members (which processes train together) · engines (what adds up their tensors)
                    · peers (signs of life) · launch (start, watch, start again)
    networks/       layers · mmnet · mobilenet_v2 · deeplab · modnet · build (NETWORKS by name;
                    alphas) · quantization (8 bits) · frozen (inference graphs)
    scoring/        metrics · evaluate (any Predictor over a Dataset) · clips (frame after frame) ·
                    report · page (of HTML) · records
    training/       train (prepare, loop) · journal · graph (one step) · losses (TERMS, RECIPES) ·
                    schedule · restore · saver · lineage
    inference/      predictor (the interface) · open · checkpoints · frozen · tflite · onnx_file ·
                    replay · card · complexity
    photos/         load · matte (geometry, two looks) · refine (the photo's edges) · compose ·
                    clips (a clip cut out) · temporal (steady alphas) · video (frames in and out)
    export/         export (build, compare, hand over) · formats · graphs · calibration · web/ (the
                    page of --format web)
    benchmark/      models · training · phone
    verbs/          one file for each thing that a user types
    cli.py          parser, dispatch, exit codes           api.py         load, matte, cutout
    delivery/, data/photos.py   what 0.1's README showed, for one version more

No module touches TensorFlow while it is imported: a .tflite or an .onnx is run, scored and
measured without it. ``data``, ``photos``, ``scoring`` (records aside) and
``inference/{predictor,replay,card}`` never name it; what scores offline (offline_infer/) needs
numpy and OpenCV only.

The values that functions take: Network, Weights, Outputs (networks/layers.py), Predictor, Card,
Dataset, Device. What scores does not know what it scores: a Predictor is called with images
[N,H,W,3] and gives alphas [N,H,W].

One photo from file to score: pairs.read_pair -> images.resize_bilinear -> Predictor ->
evaluate.score -> metrics.mad.

Words, used everywhere in these senses:

    image, images      RGB 0..255, [H,W,3] / [N,H,W,3]: uint8 as decoded, float32 once resized
    images01           the same in 0..1, inside the graph only
    alpha, alphas      opacity of the person, float32 0..1: [H,W] / [N,H,W], in the graph [N,H,W,1]
    mask               the alpha as a dataset stores it
    truth              the mask at the shape it is compared at
    logits             [N,H,W,2]: background, foreground; [N,H,W,1]: their difference
    heads              outputs of a network that only training uses, by name
    shape              (height, width), always in this order; of a network: multiples of 32
    size               side of a square shape, as the flag --size gives it
    width_multiplier   channel multiplier of the network
    mode               how layers compute their parts: training, inference, 8 bits (layers.Mode)
    source             what a trained network is opened from: name, checkpoint or model file
    pair               an image path with its mask path
    sample             a pair resized to one shape: image and mask, uint8
    prefix             a checkpoint's path without .index
"""

__version__ = "0.2.0"
__all__ = ["cutout", "load", "matte"]


def __getattr__(name):
    """The public names; asking for one imports what it needs."""
    if name in __all__:
        from mmnet import api

        return getattr(api, name)
    raise AttributeError("module 'mmnet' has no attribute %r" % name)


def __dir__():
    return sorted(list(globals()) + __all__)
