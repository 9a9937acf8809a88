"""Judge models: `mlflow run . -e evaluate -P model=gwres-ensemble,matched-filter`."""

import sys

from gwres.mlproject import entry


def main(argv):
    """Parse and run."""
    from dataclasses import fields

    from gwres.data.settings import SIMULATED, Data
    from gwres.jobs.evaluate import evaluate
    from gwres.mlproject import options

    own = {
        part.name: (part.type, part.default)
        for part in fields(Data)
        if part.name not in ("source", "bank")
    }
    given = options.read(
        argv,
        __doc__,
        model=(str, ""),
        data=(str, SIMULATED),
        split=(str, "holdout"),
        statistic=(str, "marginal"),
        **own,
    )
    data = Data(source=given["data"], **{name: given[name] for name in own})
    models = [name.strip() for name in given["model"].split(",") if name.strip()]
    evaluate(models, data, given["split"], given["statistic"])


if __name__ == "__main__":
    entry.run("evaluate", main, sys.argv[1:])
