"""The latent space in a browser: a server, and a page that only writes down what it wants to see.

What is shown is a function of `args` alone (a base in the latent space, and moves from there), and
`render(workspace, args)` is that function, for the page, for exports and for the command line.
"""
