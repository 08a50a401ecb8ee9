"""The command line: one file a verb, each of which parses, calls `preimage` and prints.

Nothing here imports torch, numpy or matplotlib before a verb has begun, so that `--help` is
instant. Results go to standard output, progress and remarks to standard error.
"""

import os

from preimage.cli.load import busy

# Threads that wait for each other spin. On a quiet machine training is three times quicker so than
# if they slept; where others want the processors as well it is four times slower. This is read when
# torch is first imported.
if busy():
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
