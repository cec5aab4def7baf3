"""How far training is: lines on standard error where that is a terminal, or with `--json` one JSON object a line, in the
form of the commands' events (cli/progress.ts)."""

import json
import sys
import time
from collections.abc import Callable

# Between two lines for people, and between two events for programs, seconds.
LINE_S = 5.0
EVENT_S = 1.0


class Progress:
    """Progress of one work of `total` units. What was done before, when it goes on, does not count for the rate."""

    def __init__(
        self,
        work: str,
        total: int,
        unit: str,
        done: int = 0,
        *,
        as_json: bool | None = None,
        now: Callable[[], float] = time.monotonic,
    ):
        self.work, self.total, self.unit = work, total, unit
        self.before, self.now = done, now
        self.began = self.said = now()
        self.as_json = "--json" in sys.argv if as_json is None else as_json

    def __call__(self, done: int, what: str | None = None) -> None:
        """`done` units are done; `what` says more of them."""
        now = self.now()
        seconds, more = now - self.began, done - self.before
        if now - self.said < (EVENT_S if self.as_json else LINE_S) and done != self.total:
            return
        self.said = now
        rate = more / seconds if more > 0 and seconds > 0 else None
        left = None if rate is None else round((self.total - done) / rate)
        if self.as_json:
            step = {"event": "progress", "work": self.work, **({} if what is None else {"what": what})}
            step |= {"done": done, "of": self.total, "unit": self.unit, "per_s": rate, "left_s": left}
            print(json.dumps(step), file=sys.stderr, flush=True)
        elif sys.stderr.isatty():
            about = self.work if what is None else f"{self.work}, {what}"
            pace = "" if rate is None else f", {rate:.1f} a second, {time_in_words(left)} left"
            print(f"{about}: {done} of {self.total} {self.unit}{pace}", file=sys.stderr, flush=True)


class Run:
    """Progress of a run of several steps, so that the time left is that of the whole run."""

    def __init__(self, work: str, steps: dict[str, int]):
        """`steps`: the batches of each step, in their order."""
        self.work, self.steps = work, steps
        self.progress: Progress | None = None

    def begin(self, step: str, done: int) -> Callable[[int, str], None]:
        """A step begins of which `done` batches were done earlier. Returns the function that takes its batches done."""
        names = list(self.steps)
        earlier = sum(self.steps[name] for name in names[: names.index(step)])
        if self.progress is None:
            # Steps and batches of an earlier, interrupted run do not count for the rate.
            self.progress = Progress(self.work, sum(self.steps.values()), "batches", earlier + done)
        progress = self.progress
        return lambda now, what: progress(earlier + now, f"{step}, {what}")


def time_in_words(seconds: int) -> str:
    return f"{seconds} s" if seconds < 90 else f"{round(seconds / 60)} minutes"
