"""`python -m levelhead.cli`, for where the console script is not on the path."""

from levelhead.cli import main

if __name__ == "__main__":
    main()
