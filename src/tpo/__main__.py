"""`python -m tpo` is `tpo`."""

from tpo.cli import main

main()
