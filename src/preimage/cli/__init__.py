"""The command line: one file a verb, each of which parses, calls `preimage` and prints.

Nothing here imports torch, numpy or matplotlib before a verb has begun, so that `--help` is
instant. Results go to standard output, progress and remarks to standard error.
"""
