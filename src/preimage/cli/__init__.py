"""The command line: one file a verb, each of which parses, calls `preimage` and prints.

Nothing here imports torch, numpy or matplotlib before a verb has begun, so that `--help` is
instant. Results go to standard output, progress and remarks to standard error.
"""

import os

# Threads that wait for each other should sleep. Where other programs want the processors too, the
# usual spinning makes two threads forty times slower than one. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
