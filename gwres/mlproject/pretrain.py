"""Train the weights that ship: `mlflow run . -e pretrain -P depths=18,34`."""

import sys

from gwres.mlproject import entry


def main(argv):
    """Parse and run."""
    from gwres.jobs.pretrain import pretrain
    from gwres.mlproject import options

    recipe, own = options.recipe(
        argv,
        __doc__,
        depths=(str, ""),
        frontends=(str, ""),
        turns=(int, 1),
        out=(str, ""),
    )
    depths, frontends = (
        [word.strip() for word in own.pop(name).split(",") if word.strip()]
        for name in ("depths", "frontends")
    )
    depths, frontends = depths or [recipe.model.depth], frontends or ["waveform"]
    pretrain(recipe, depths, frontends, **own)


if __name__ == "__main__":
    entry.run("pretrain", main, sys.argv[1:])
