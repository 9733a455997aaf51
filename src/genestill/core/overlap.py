"""Background threads: preparing the next items ahead, and consuming finished items.

Both use one thread and a short queue, so memory is limited and the order is kept. numpy, torch, tokenizers and pyarrow
let other threads run while they compute. The result is the same as without threads.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

DEPTH = 1  # waiting items, in addition to those being processed
_SECONDS = 0.1  # between two checks whether the other side has ended
_END = object()


class _Failure:
    def __init__(self, error: BaseException):
        self.error = error


def ahead(items: Iterable[T], depth: int = DEPTH) -> Iterator[T]:
    """Yield ``items``, which a thread prepares up to ``depth`` ahead.

    An error in the thread is raised here, after the items before it. The thread ends when this generator is closed.
    """
    made: queue.Queue = queue.Queue(depth)
    closed = threading.Event()

    def put(item) -> bool:
        while not closed.is_set():
            try:
                made.put(item, timeout=_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def make() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(_END)
        except BaseException as error:  # it is raised in the consumer
            put(_Failure(error))

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while (item := made.get()) is not _END:
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        closed.set()
        thread.join()


def behind(items: Iterable[T], consume: Callable[[T], None], depth: int = DEPTH) -> None:
    """Call ``consume`` for each of ``items`` in a thread, while the next item is prepared here.

    An error in ``consume`` is raised here, before the next item is queued. After an error or Ctrl-C here, the thread
    ends after its current item.
    """
    waiting: queue.Queue = queue.Queue(depth)
    failures: list[BaseException] = []

    def take() -> None:
        while (item := waiting.get()) is not _END:
            if not failures:
                try:
                    consume(item)
                except BaseException as error:  # it is raised in the producer
                    failures.append(error)

    thread = threading.Thread(target=take, name="behind", daemon=True)
    thread.start()
    try:
        for item in items:
            if failures:
                break
            waiting.put(item)
    except BaseException:
        failures.append(InterruptedError())  # waiting items are not consumed any more
        raise
    finally:
        waiting.put(_END)
        thread.join()
    if failures:
        raise failures[0]
