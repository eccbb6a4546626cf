"""Compute increasing time stamps for clips whose files lack them. No TensorFlow."""

import bisect
from fractions import Fraction
from typing import Any, Dict, List, NamedTuple, Optional

MAX_STEP_BACK = Fraction(1, 10)  # seconds; a larger step back is a restart of the time stamps
MAX_GAP = 10  # seconds; in formats with restarts, a larger gap is one


class _Track(NamedTuple):
    """The last packet of a stream: seconds, after the correction."""

    restarts: int = 0
    dts: Optional[Fraction] = None
    end: Fraction = Fraction(0)


class Timeline:
    """Corrects the time stamps of the packets of a file, in the order of the file.

    They begin with 0 at the start of the container. If they restart, all streams get one offset per
    restart, so audio and video stay in step.
    """

    def __init__(self, start_time: Fraction, *, has_restarts: bool):
        self._offsets = [-start_time]  # seconds, per restart
        self._has_restarts = has_restarts
        self._tracks: Dict[int, _Track] = {}

    def correct(self, packet: Any) -> None:
        """Change the time stamps of a packet. Other tracks follow the video and the audio."""
        if packet.dts is None and packet.pts is None:
            return
        time_base = to_fraction(packet.time_base)
        if packet.stream.type not in ("video", "audio"):
            _shift(packet, self._offsets[-1] / time_base)
            return
        dts = (packet.pts if packet.dts is None else packet.dts) * time_base
        pts = (packet.dts if packet.pts is None else packet.pts) * time_base
        track = self._tracks.get(packet.stream.index, _Track())
        restarts = track.restarts
        if packet.dts is not None and self._is_restart(dts + self._offsets[restarts], track):
            restarts += 1
            if restarts == len(self._offsets):
                self._offsets.append(max(other.end for other in self._tracks.values()) - pts)
            # Another stream restarted earlier in the file, before the end of this one was known.
            self._offsets[restarts] = max(self._offsets[restarts], track.end - pts)
        _shift(packet, self._offsets[restarts] / time_base)
        if packet.dts is not None:
            end = pts + self._offsets[restarts] + (packet.duration or 0) * time_base
            last = _Track(restarts, packet.dts * time_base, max(track.end, end))
            self._tracks[packet.stream.index] = last

    def _is_restart(self, dts, track):
        """Return whether a decoding time (seconds) does not continue a track."""
        if track.dts is None:
            return False
        is_gap = self._has_restarts and dts > track.end + MAX_GAP
        return is_gap or dts < track.dts - MAX_STEP_BACK


def to_fraction(number: Any) -> Fraction:
    """Convert the fraction of PyAV, which has two types."""
    return Fraction(number.numerator, number.denominator)


def _shift(packet, offset):
    if packet.pts is not None:
        packet.pts += int(round(offset))
    if packet.dts is not None:
        packet.dts += int(round(offset))


class FrameTimes:
    """Assigns increasing time stamps to the frames of a decoder, which are in presentation order.

    Some files contain times in decoding order only: they increase, although the decoder changes the
    order of the frames. These times are sorted.

    Args:
        decoder: decoder of the video.
        step: mean duration of the frames.
        has_pts: the file format has presentation times. AVI has not.
    """

    def __init__(self, decoder: Any, step: int, *, has_pts: bool):
        self.last: Optional[int] = None
        self.skipped = 0  # frames before the first key frame
        self._decoder, self._step = decoder, step
        self._is_sorted, self._has_pts = True, has_pts
        self._pending: List[int] = []  # sorted times of packets that have no frame so far

    def add(self, packet: Any) -> None:
        """Add the time stamp of a packet, before it is decoded."""
        pts = self._time_of(packet)
        if pts is None or packet.is_discard:
            return
        if self._has_pts and self._pending and pts < self._pending[-1]:
            self._is_sorted = False
        bisect.insort(self._pending, pts)

    def remove(self, packet: Any) -> Optional[int]:
        """Remove and return the time stamp of a packet that cannot be decoded."""
        pts = None if packet is None else self._time_of(packet)
        if pts in self._pending:
            self._pending.remove(pts)
        return pts

    def assign(self, pts: Optional[int]) -> int:
        """Return the time stamp of the next frame: ``pts``, or the next pending one."""
        last, depth = self.last, self._decoder.reorder_depth
        if last is not None:
            del self._pending[: bisect.bisect_right(self._pending, last)]
        if pts is not None:  # a decoder drops frames, for example before the first key frame
            is_first = last is None and self._has_pts
            older = bisect.bisect_left(self._pending, pts) - (0 if is_first else depth + 1)
            del self._pending[: max(0, older)]
            self.skipped += older if is_first else 0
        is_decode_order = depth > 0 and self._is_sorted
        if is_decode_order or pts is None or (last is not None and pts <= last):
            if self._pending:
                pts = self._pending.pop(0)
            else:
                pts = 0 if last is None else last + self._step
        self.last = pts
        return pts

    def _time_of(self, packet):
        return packet.pts if self._has_pts and packet.pts is not None else packet.dts
