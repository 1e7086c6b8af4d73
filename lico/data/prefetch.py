"""Samples of a data set in order, read while the ones before them are worked on."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

from lico.data.sample import ImageData, Sample

AHEAD = 2  # batches that are being read


def sample_batches(data: ImageData, size: int, threads: int) -> Generator[list[Sample]]:
    """All samples, `size` at a time.

    Args:
        data: read from several threads at once, unless `threads` is 0.
        size: samples a batch; the last may have fewer.
        threads: that read and decode; 0: each batch is read when it is asked for.
    """
    parts = [range(len(data))[start : start + size] for start in range(0, len(data), size)]
    if not threads:
        yield from ([data[index] for index in part] for part in parts)
        return
    pool = ThreadPoolExecutor(threads)
    try:
        waiting: deque[list[Future[Sample]]] = deque()
        for part in parts:
            waiting.append([pool.submit(data.__getitem__, index) for index in part])
            if len(waiting) > AHEAD:
                yield [each.result() for each in waiting.popleft()]
        for batch in waiting:
            yield [each.result() for each in batch]
    finally:
        pool.shutdown(cancel_futures=True)
