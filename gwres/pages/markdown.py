"""Markdown as MLflow's UI shows it: links to its pages, pictures, tables."""

from urllib.parse import quote

# What the UI's addresses end with: sections for trained models, not for language
# models; the columns that `tracking.ui` sets; the charts in place of the table.
SECTIONS = "workflowType=machine_learning"
VIEW = "gwres"
QUERY = f"viewStateShareKey={VIEW}&{SECTIONS}"
CHART = "compareRunsMode=CHART"
GAP = "&emsp;"  # after a table's cells, for MLflow sets columns side by side


def address(place, path=""):
    """Where MLflow's UI shows a run, or one of its files.

    Args:
        place: (experiment id, run id).
        path: of an artifact.

    Returns:
        URL, relative to the server's.
    """
    page = "#/experiments/{}/runs/{}".format(*place)
    return f"{page}/artifacts/{path}" if path else page


def pictures(run, paths):
    """PNG artifacts of a run, as pictures in Markdown.

    Args:
        run: its id.
        paths: of the artifacts, such as plots/roc.png.

    Returns:
        Markdown.
    """
    return "\n\n".join(
        f"![{path.rpartition('/')[2].removesuffix('.png')}]"
        f"(get-artifact?path={quote(path, safe='')}&run_uuid={run})"
        for path in paths
    )


def joined(parts):
    """Paragraphs that are not empty, as Markdown."""
    return "\n\n".join(filter(None, parts)) + "\n"


def grid(heads, rows):
    """A table in Markdown; "" without rows."""
    if not rows:
        return ""
    heads, *rows = [[f"{cell}{GAP}" for cell in line] for line in (heads, *rows)]
    return table(heads, rows)


def table(heads, rows):
    """A table in Markdown as text is read, outside MLflow."""
    lines = heads, ["---"] * len(heads), *rows
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def model_link(uri):
    """A registered model's version, as a link to its page; other models as they are."""
    name, _, number = uri.removeprefix("models:/").partition("/")
    if not uri.startswith("models:/") or not number:
        return f"`{uri}`"
    return f"[{name}, version {number}](#/models/{name}/versions/{number})"
