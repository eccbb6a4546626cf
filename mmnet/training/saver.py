"""Write the checkpoints of a training while it continues."""

import glob
import logging
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Optional, Sequence

from mmnet.io import checkpoint_files
from mmnet.tf import checkpoint
from mmnet.tf.compat import tf
from mmnet.training.lineage import LineageWriter

NAME = "MMNetModel"  # published name

log = logging.getLogger(__name__)


class CheckpointWriter:
    """Writes checkpoints in a thread, one at a time, and keeps the newest ``max_to_keep``.

    If a write fails, the next call of ``save`` or ``close`` raises its error. Without a folder it
    writes nothing.
    """

    def __init__(
        self,
        folder: Optional[str],
        max_to_keep: int,
        *,
        session: "tf.Session",
        variables: Sequence["tf.Variable"],
        lineage: LineageWriter,
    ):
        self._folder, self._max_to_keep = folder, max_to_keep
        self._session, self._lineage = session, lineage
        self._variables = {variable.op.name: variable for variable in variables}
        self._pool = ThreadPoolExecutor(1)
        self._pending: Optional[Future] = None
        if folder is not None:  # delete partial checkpoints of a killed training
            for path in glob.glob(os.path.join(glob.escape(folder), ".saving-*")):
                shutil.rmtree(path, ignore_errors=True)

    def save(self, step: int, learning_rate: float) -> None:
        """Start to write a checkpoint with its lineage. ``step`` is counted from the restore."""
        if self._folder is None:
            return
        self._wait()
        values = self._session.run(self._variables)
        global_step = int(values["global_step"])
        record = self._lineage.record(global_step, step, learning_rate)
        prefix = os.path.join(self._folder, f"{NAME}-{global_step}")
        self._pending = self._pool.submit(self._write, prefix, values, record)

    def close(self) -> None:
        """Wait for the last checkpoint."""
        try:
            self._wait()
        finally:
            self._pool.shutdown()

    def _wait(self):
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def _write(self, prefix, values, record):
        checkpoint.write(prefix, values, {".json": record})
        log.info("saved %s", prefix)
        # Only checkpoints of a training have a lineage; published ones in the folder are kept.
        own = [
            prefix
            for prefix in checkpoint_files.list_checkpoints(self._folder)
            if os.path.exists(prefix + ".json")
        ]
        for old in own[: -self._max_to_keep]:
            checkpoint_files.delete_checkpoint(old)
