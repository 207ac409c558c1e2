"""`python -m hal0app` is the `hal0` command: how its processes start each other without a script on the PATH."""

from hal0app.cli.main import main

main()
