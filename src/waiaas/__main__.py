"""`python -m waiaas` and the `waiaas` command."""

from waiaas.cli.app import main

if __name__ == "__main__":
    main()
