"""`hal0 embedded`: run the embedded Lemonade engine, for trials without lemond and for fast tests."""

from __future__ import annotations

import os
from pathlib import Path

import click


def _home(name: str) -> Path:
    return Path(os.environ.get("HAL0_HOME") or ".hal0") / "embedded" / name


FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--host", help="Address to bind (default: config.json, else 127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to bind (default: config.json, else 13305).")
@click.option("--config-dir", type=FOLDER, default=lambda: _home("config"), help="Holds config.json, user_models.json.")
@click.option("--cache-dir", type=FOLDER, default=lambda: _home("cache"), help="Holds the backends' logs.")
@click.option("--models-dir", type=FOLDER, help="GGUF files to offer (default: extra_models_dir of config.json).")
@click.option("--chaos", type=click.IntRange(1, 65535), help="Control port for putting faults in (off unless given).")
@click.option(
    "--simulate-flm", is_flag=True, help="Models of recipe flm answer from a program that only looks like FLM."
)
def embedded(
    host: str | None,
    port: int | None,
    config_dir: Path,
    cache_dir: Path,
    models_dir: Path | None,
    chaos: int | None,
    simulate_flm: bool,
) -> None:
    """Serve Lemonade's HTTP contract over llama.cpp in child processes. Needs the extra `hal0[embedded]`."""
    from hal0app.embedded.engine import Engine, run
    from hal0app.embedded.faults import Faults

    models = str(models_dir.absolute()) if models_dir else None
    faults = Faults() if chaos else None
    more = {"host": host, "port": port, "extra_models_dir": models}
    engine = Engine(config_dir.absolute(), cache_dir.absolute(), faults, simulate_flm, **more)
    try:
        run(engine, chaos or 0)
    except OSError as error:
        raise click.ClickException(f"cannot serve: {error}") from error
