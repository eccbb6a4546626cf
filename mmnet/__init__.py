"""mmnet: portrait matting in real time on small devices (MMNet, arXiv 1904.03816).

Rooms, and the direction of imports (each may use those above it):

    compat.py       the only import of TensorFlow: 1.15 and 2.x, graph mode
    backend.py      what a session needs to know of the machine
    config.py       typed settings, one dataclass a verb; YAML preset and flags
    files.py        whole-or-nothing writing          progress.py   progress of long work
    checkpoint.py   find, read, restore with a report, write, watch
    events.py       TensorBoard
    data/           images.py (decode, resize, save) · pairs.py (find, check, read) · synthetic.py (made-up portraits)
                    photos.py (a user's photo, from a path, bytes or an array) · samples.py (decoded once, cached)
                    augment.py · batches.py (what a training step gets)
    networks/       layers.py · mmnet.py · quantization.py (8 bits)
    training/       losses.py · graph.py (one step) · schedule.py · restore.py · lineage.py · saver.py ·
                    train.py (the loop)
    scoring/        metrics.py · evaluate.py (any Predict over the pairs) · replay.py (results
                    of an .om as one) · report.py
    delivery/       predictor.py (a checkpoint as a Predict) · models.py (a model file as one) · validate.py · predict.py
                    graphs.py (inference graphs with the weights inside) · freeze.py · export.py · parity.py
                    benchmark.py · benchmark_training.py · phone.py · complexity.py (parameters, multiply-adds) ·
                    info.py · selfcheck.py
    cli.py          the only argument parser

``data`` and ``scoring`` need no TensorFlow; what scores offline (offline_infer/) needs numpy and OpenCV only.

The one abstraction is ``Predict``, a plain callable: images float32 [N,size,size,3] 0..255 -> alphas float32
[N,size,size] 0..1. What scores does not know what it scores.

One photo from file to score: pairs.read_pair -> images.resize_bilinear -> Predict -> evaluate.score -> metrics.mad.

Words, used everywhere in these senses:

    image, images      RGB 0..255, [H,W,3] / [N,H,W,3]: uint8 as decoded, float32 once resized
    images01           the same in 0..1, inside the graph only
    alpha, alphas      opacity of the person, float32 0..1: [H,W] / [N,H,W]
    mask               the alpha as a data set stores it
    truth              the mask at the size it is compared at
    logits             [N,H,W,2]: background, foreground
    size               side of the square network input in pixels, a multiple of 32
    shape              (height, width), always in this order
    width_multiplier   channel multiplier of the network
    mode               how layers compute their parts: training, inference, with 8 bits (layers.Mode)
    log odds           foreground's logit minus background's, [N,H,W,1]: alpha is its sigmoid
    pair               an image path with its mask path
    sample             a pair resized to one side: image and mask, uint8
    prefix             a checkpoint's path without .index
"""
__version__ = "0.1.0"
