"""`python -m lico`."""

from lico.cli import main

if __name__ == "__main__":
    main()
