"""When a run ends, and the share of the peak learning rates that a step gets until then.

Up over the first 100 steps, level, and down over the last quarter to 3 %. The quarter is one of the run's tokens where it has a
number of them, of this call's time where it has a time, and of what is nearer to its end where it has both. A run of tokens alone
that stopped and goes on takes the steps of one that did not stop; a call by time takes one step at least.
"""

import time

WARM_UP_STEPS = 100
DECAY_SHARE = 0.25
LEAST = 0.03


class Schedule:
    def __init__(self, first_step, tokens=None, seconds=None, start=None):
        """`first_step`: of this call, which warms up again if it ends by time: the learning rates of the call before fell.
        `start`: when the time began, now if left out."""
        self.first_step, self.tokens, self.seconds = first_step, tokens, seconds
        self.start = time.time() if start is None else start

    def left(self, tokens):
        """The share of the run that is still to come after `tokens`, at most 1; at its end 0 or less."""
        shares = [1.0]
        if self.tokens is not None:
            shares.append(1 - tokens / self.tokens)
        if self.seconds is not None:
            shares.append(1 - (time.time() - self.start) / self.seconds if self.seconds > 0 else 0.0)
        return min(shares)

    def has_ended(self, step, tokens):
        if self.tokens is not None and tokens >= self.tokens:
            return True
        return step > self.first_step and self.left(tokens) <= 0

    def rate(self, step, tokens):
        """Of the peak, for the step that comes after `step` steps and `tokens`."""
        steps = step - self.first_step if self.seconds is not None else step
        return min(1.0, (steps + 1) / WARM_UP_STEPS) * min(1.0, max(LEAST, self.left(tokens) / DECAY_SHARE))
