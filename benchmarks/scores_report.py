"""Write the table of scores into README.md from benchmarks/results/scores.json and
recipe_speed.json. Not a benchmark itself.

.venv/bin/python -m benchmarks.scores_report
"""

import json
from pathlib import Path

from benchmarks.measuring import RESULTS
from benchmarks.scores import HEADLINES, RECIPES, Document, read_results
from benchmarks.tables import markdown, with_table
from models.training.recipe import read_recipe

README = Path(__file__).parents[1] / "README.md"
MARK = "scores"


def table(results: dict[str, Document], milliseconds: dict[str, Document]) -> str:
    """One row a recipe; seeds after the first in the same cell."""
    head = ["recipe", "data", "score", "val", "test", "published", "minutes", "int8 ms"]
    rows = []
    for name, headline in HEADLINES.items():
        recipe = read_recipe(RECIPES / f"{name}.toml")
        runs = [result for result in results.values() if result["recipe"] == name]
        rows.append(
            [
                f"[{name}](models/recipes/{name}.toml)",
                f"`{recipe.data}`",
                headline.label,
                *(scores(name, runs, split) for split in ("val", "test")),
                headline.published,
                ", ".join(f"{run['minutes']:.0f}" for run in runs),
                f"{milliseconds[recipe.name]['median']:.0f}",
            ]
        )
    return markdown(head, rows)


def scores(name: str, runs: list[Document], split: str) -> str:
    """The headline score of each seed, to three places."""
    documents = [run["scores"][split] for run in runs if split in run["scores"]]
    return ", ".join(f"{HEADLINES[name].of(document):.3f}" for document in documents) or "–"


def read_speed() -> dict[str, Document]:
    """Milliseconds of a picture by each recipe's network in int8."""
    document: Document = json.loads((RESULTS / "recipe_speed.json").read_text())
    return dict(document["milliseconds"])


def main() -> None:
    """Write the table into its page."""
    README.write_text(with_table(README.read_text(), MARK, table(read_results(), read_speed())))


if __name__ == "__main__":
    main()
