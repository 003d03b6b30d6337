"""Run the command line as `python -m medream.cli`."""

from medream.cli import main

main()
