"""`mmnet synthesize`: draw synthetic portraits as a dataset."""

import dataclasses
import os
from typing import Optional, Tuple

from mmnet.commands.flag_types import existing_folder, one_of, positive_int, seed_number, split_name
from mmnet.commands.options import REQUIRED, BaseOptions, flag
from mmnet.datasets.backgrounds import read_backgrounds
from mmnet.datasets.synthetic import LOOKS, synthesize
from mmnet.io.errors import MmnetError, format_shape
from mmnet.io.files import check_writable
from mmnet.io.memory import check_memory

MAX_FRAMES = 100000  # per clip
DRAWING_BYTES = 400  # rough memory per pixel and drawing thread


@dataclasses.dataclass(frozen=True)
class Options(BaseOptions):
    """Draw synthetic portraits with their true soft alpha as a dataset."""

    output: str = flag(REQUIRED, help="folder of the dataset to write", old_name="dataset_path")
    dataset_split_name: str = flag("test", split_name, help="name of the split")
    pictures: int = flag(32, positive_int, help="number of portraits or clips")
    seed: int = flag(0, seed_number, help="random seed; the same seed draws the same portraits")
    shape: Tuple[int, int] = flag((800, 600), positive_int, help="size in pixels", nargs=2)
    frames: int = flag(1, positive_int, help="frames per clip; 1 draws portraits")
    looks: str = flag(
        "plain",
        one_of(*LOOKS),
        help="plain: one upright person; varied: one or two people of any look, in any light",
    )
    backgrounds_path: Optional[str] = flag(
        None, existing_folder, help="folder of background images without people, for --looks varied"
    )

    def check(self) -> None:
        super().check()
        if self.backgrounds_path and self.looks == "plain":
            raise MmnetError("--backgrounds_path: needs --looks varied")
        if self.frames > MAX_FRAMES:
            raise MmnetError(f"--frames {self.frames}: must be at most {MAX_FRAMES}")
        if self.looks == "varied" and self.frames > 1:
            raise MmnetError("--frames: clips need --looks plain")
        drawing_bytes = DRAWING_BYTES * self.shape[0] * self.shape[1] * (os.cpu_count() or 1)
        check_memory(f"drawing portraits of {format_shape(self.shape)}", drawing_bytes)


def run(options: Options) -> int:
    check_writable(options.output, "output")
    folder = options.backgrounds_path
    split = os.path.join(options.output, options.dataset_split_name)
    if folder and os.path.realpath(folder).startswith(os.path.realpath(split) + os.sep):
        raise MmnetError(f"{split} contains the backgrounds; give another folder", "output")
    backgrounds = read_backgrounds(folder, options.shape) if folder else []
    synthesize(
        options.output,
        options.dataset_split_name,
        options.pictures,
        seed=options.seed,
        shape=options.shape,
        frames=options.frames,
        looks=options.looks,
        backgrounds=backgrounds,
    )
    kind = "portraits" if options.frames == 1 else f"clips of {options.frames} frames"
    print(f"{options.output}: {options.pictures} {kind}")
    return 0
