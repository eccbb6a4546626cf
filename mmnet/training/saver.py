"""Write the checkpoints of a run while its training continues."""

import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

from mmnet.io import checkpoint_files
from mmnet.tf import checkpoint

NAME = "MMNetModel"

log = logging.getLogger(__name__)


class Saver:
    """Writes checkpoints in its own thread, one at a time, and keeps the newest ``max_to_keep``.

    If a write fails, the next call of ``save``, ``wait`` or ``close`` raises its error.
    """

    def __init__(self, folder, max_to_keep):
        self._folder, self._max_to_keep = folder, max_to_keep
        self._pool = ThreadPoolExecutor(1)
        self._writing = None
        for name in os.listdir(folder):  # a killed run may have left half-written checkpoints
            if name.startswith(".saving-"):
                shutil.rmtree(os.path.join(folder, name), ignore_errors=True)

    def save(self, step, values, record):
        """Begin to write a checkpoint, after the write before it has ended.

        Args:
            step: the number in the checkpoint's name.
            values: name -> array.
            record: the text of a JSON file, which is written beside the checkpoint.
        """
        self.wait()
        prefix = os.path.join(self._folder, "%s-%d" % (NAME, step))
        self._writing = self._pool.submit(self._write, prefix, values, record)

    def wait(self):
        if self._writing is not None:
            self._writing, writing = None, self._writing
            writing.result()

    def close(self):
        try:
            self.wait()
        finally:
            self._pool.shutdown()

    def _write(self, prefix, values, record):
        checkpoint.write(prefix, values, {".json": record})
        log.info("saved %s", prefix)
        # Only a run's own checkpoints have a record; published ones in the folder stay.
        own = [
            prefix
            for prefix in checkpoint_files.list_checkpoints(self._folder)
            if os.path.exists(prefix + ".json")
        ]
        for old in own[: -self._max_to_keep]:
            checkpoint_files.delete_checkpoint(old)
