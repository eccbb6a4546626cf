"""Checkpoints of a run, written while training goes on."""
import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

from mmnet import checkpoint

NAME = "MMNetModel"

log = logging.getLogger(__name__)


class Saver:
    """Writes snapshots in a thread of its own, one at a time, and keeps the newest ``max_to_keep``.

    A failed write is raised by the next call of ``save`` or by ``close``.
    """

    def __init__(self, folder, max_to_keep):
        self._folder, self._max_to_keep = folder, max_to_keep
        self._pool = ThreadPoolExecutor(1)
        self._writing = None
        for name in os.listdir(folder):  # what a kill left half-written
            if name.startswith(".saving-"):
                shutil.rmtree(os.path.join(folder, name), ignore_errors=True)

    def save(self, step, values, record):
        """Begin to write ``values`` (name -> array) as the checkpoint of ``step``, with ``record`` (JSON) beside it."""
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
        for old in checkpoint.list_checkpoints(self._folder)[:-self._max_to_keep]:
            checkpoint.delete(old)
