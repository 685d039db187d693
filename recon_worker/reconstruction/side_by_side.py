"""Slices side by side: one thread reads, others compute, results come in order.

A slice is too small to keep several cores busy within one operation, so on a CPU each thread computes a slice of its
own with one core. On another device one thread hands slices over while the next one is read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

MEMORY_BYTES = 640 * 2**20
"""What the slices that are computed at once may take, with all that is computed from them."""


def side_by_side(
    items: Iterable[Item], work: Callable[[Item], Result], *, item_bytes: int, device: torch.device
) -> Iterator[Result]:
    """`work` of every item, in order, in inference mode.

    As many items are in hand as torch may use threads (`torch.set_num_threads`), fewer where `item_bytes` each would
    exceed `MEMORY_BYTES`. The first exception in order is raised.
    """
    threads = torch.get_num_threads()
    affordable = MEMORY_BYTES // max(item_bytes, 1)
    at_once = 1 if device.type != "cpu" else max(1, min(threads, affordable))

    def compute(item: Item) -> Result:
        with torch.inference_mode():
            return work(item)

    if device.type == "cpu" and at_once == 1:
        yield from map(compute, items)
        return
    waiting: deque[Future[Result]] = deque()
    each = max(1, threads // at_once)
    try:
        with ThreadPoolExecutor(at_once, "slice", initializer=torch.set_num_threads, initargs=(each,)) as pool:
            try:
                for item in items:
                    waiting.append(pool.submit(compute, item))
                    del item  # held by whoever computes it, no longer
                    if len(waiting) > at_once:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)
    finally:
        torch.set_num_threads(threads)
