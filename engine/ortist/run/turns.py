"""Taking turns: a lock that is given in the order in which it was asked for."""

from __future__ import annotations

import threading
from collections import deque

from ..forks import check_not_forked

__all__ = ["Turns"]


class Turns:
    """Held by ``with``, by one thread at a time, which may hold it again inside.

    Raises ResourceError in a forked process that could not compute (forks.py).

    A thread that steps a run asks for its turn again at once. ``threading.RLock`` would give it to
    that thread every time, as it is awake, and others would wait until the run's end.
    """

    def __init__(self) -> None:
        # Held for a few instructions; re-entrant, since a signal's handler may come between them.
        self._changing = threading.RLock()
        self._queue: deque[tuple[int, threading.Lock]] = deque()
        self._owner: int | None = None
        self._depth = 0

    @property
    def waiting(self) -> int:
        """How many threads wait for their turn."""
        return len(self._queue)

    def __enter__(self) -> None:
        check_not_forked()  # whoever has the turn there is not here to pass it on
        thread = threading.get_ident()
        if self._owner == thread:
            self._depth += 1
            return
        turn = threading.Lock()
        turn.acquire()
        with self._changing:
            if self._owner is None:
                self._owner, self._depth = thread, 1
                return
            self._queue.append((thread, turn))
        try:
            turn.acquire()
        except BaseException:  # Ctrl-C in the queue: nobody may wait for this thread
            with self._changing:
                if (thread, turn) in self._queue:
                    self._queue.remove((thread, turn))
                else:
                    self._pass_on()
            raise

    def __exit__(self, *_: object) -> None:
        with self._changing:
            self._depth -= 1
            if self._depth == 0:
                self._pass_on()

    def _pass_on(self) -> None:
        """Gives the turn to whoever waits longest, if any."""
        if not self._queue:
            self._owner = None
            return
        self._owner, turn = self._queue.popleft()
        self._depth = 1
        turn.release()
