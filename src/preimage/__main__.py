"""`python -m preimage`, where the script is not on the path."""

from preimage.cli.main import main

main()
