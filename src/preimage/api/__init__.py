"""What the command line, the studio and `import preimage` call, with paths or with models.

One module a subject. `preimage` re-exports them; nothing here computes what a room below could.
"""
