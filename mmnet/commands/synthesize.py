"""The synthesize verb: made-up portraits as a dataset."""

import dataclasses
import os
from typing import Optional, Tuple

from mmnet.commands.flag_types import check_memory, image_folder, one_of, positive_int, seed_number
from mmnet.commands.options import REQUIRED, BaseOptions, flag
from mmnet.datasets.backgrounds import read_backgrounds
from mmnet.datasets.synthetic import LOOKS, PLAIN, VARIED, synthesize
from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.files import check_writable


@dataclasses.dataclass(frozen=True)
class Options(BaseOptions):
    """Draw made-up portraits with their true soft alpha, as a dataset."""

    dataset_path: str = flag(REQUIRED, help="folder to write SPLIT/image and SPLIT/mask into")
    dataset_split_name: str = flag("test", help="SPLIT, the folder below it")
    pictures: int = flag(32, positive_int, help="how many")
    seed: int = flag(0, seed_number, help="the same seed draws the same portraits")
    shape: Tuple[int, int] = flag((800, 600), positive_int, help="height width in pixels", nargs=2)
    frames: int = flag(
        1, positive_int, help="draw clips of so many frames, in which person and camera move"
    )
    looks: str = flag(
        PLAIN,
        one_of(*LOOKS),
        help="plain: one upright person; varied: one or two of any size, with glasses, hats, beards, "
        "things in their hands, in any light",
    )
    backgrounds_path: Optional[str] = flag(
        None, image_folder, help="varied: folder of pictures without people to put them before"
    )

    def check(self):
        super().check()
        threads, (height, width) = os.cpu_count() or 1, self.shape
        if self.backgrounds_path and self.looks == PLAIN:
            raise MmnetError("--backgrounds_path goes with --looks varied")
        if self.looks == VARIED and self.frames > 1:
            raise MmnetError("--looks varied draws pictures; clips (--frames) are plain")
        what = "drawing portraits of %s" % format_shape(self.shape)
        check_memory(what, threads * height * width * 400)


def run(options):
    check_writable(options.dataset_path, "dataset_path")
    backgrounds = ()
    if options.backgrounds_path:
        backgrounds = read_backgrounds(options.backgrounds_path, options.shape)
    synthesize(
        options.dataset_path,
        options.dataset_split_name,
        options.pictures,
        options.seed,
        options.shape,
        frames=options.frames,
        looks=options.looks,
        backgrounds=backgrounds,
    )
    what = "portraits" if options.frames == 1 else "clips of %d frames" % options.frames
    print("%d %s in %s" % (options.pictures, what, options.dataset_path))
    return 0
