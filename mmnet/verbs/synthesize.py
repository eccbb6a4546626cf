"""The synthesize verb: made-up portraits as a data set."""

from mmnet.data.samples import read_backgrounds
from mmnet.data.synthetic import synthesize
from mmnet.files import need_writable


def run(settings):
    need_writable("--dataset_path", settings.dataset_path)
    backgrounds = ()
    if settings.backgrounds_path:
        backgrounds = read_backgrounds(settings.backgrounds_path, settings.shape)
    synthesize(
        settings.dataset_path,
        settings.dataset_split_name,
        settings.pictures,
        settings.seed,
        settings.shape,
        frames=settings.frames,
        looks=settings.looks,
        backgrounds=backgrounds,
    )
    what = "portraits" if settings.frames == 1 else "clips of %d frames" % settings.frames
    print("%d %s in %s" % (settings.pictures, what, settings.dataset_path))
    return 0
