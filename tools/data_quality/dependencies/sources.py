"""What the sources of one fact agree on, where several tell it and contradict each other.

Each row tells the facts of one entity by one source. A source earns weight by agreeing with what the others say, over all
entities, and what is most likely follows from the weights; the two are found in turns, as in truth discovery from
conflicting sources (Yin, Han and Yu 2008; Dong, Berti-Equille and Srivastava 2009). Invariant: a row never votes for
itself, and a fixed number of rounds makes the result a function of the table alone.
"""

from typing import Final

import polars as pl

from tools.data_quality.dependencies.keys import Keys
from tools.data_quality.dependencies.model import Dependency

_ROUNDS: Final = 3
_SCALE: Final = 1000  # rows are counted in whole numbers; weights keep three digits


def source_ballots(keys: Keys, dependency: Dependency) -> pl.DataFrame:
    """For every row the value that the other sources back, by weight: columns as in `voting._ballots`."""
    entity, dependent, source = (
        str(dependency.determinants[0]),
        str(dependency.dependent),
        str(dependency.source),
    )
    rows = keys.frame.select(entity=entity, value=dependent, source=source).with_row_index("row")
    told = rows.filter(pl.col("entity").is_not_null() & pl.col("value").is_not_null())
    told = told.with_columns(weight=pl.lit(1.0))
    for _ in range(_ROUNDS):
        told = _weighted(told.drop("weight"), _accuracy(told))
    per_value = told.group_by("entity", "value").agg(pl.col("weight").sum().round(9), backing=pl.len())
    per_value = per_value.sort("entity", "weight", "value", descending=[False, True, False])
    best = per_value.group_by("entity", maintain_order=True).agg(
        top=pl.col("value").first(),
        top_weight=pl.col("weight").first(),
        top_rows=pl.col("backing").first(),
        second=pl.col("value").get(1, null_on_oob=True),
        second_weight=pl.col("weight").get(1, null_on_oob=True).fill_null(0.0),
        second_rows=pl.col("backing").get(1, null_on_oob=True).fill_null(0),
        all=pl.col("weight").sum(),
    )
    own = told.select("row", "weight")
    joined = rows.join(own, on="row", how="left", maintain_order="left").with_columns(pl.col("weight").fill_null(0.0))
    joined = joined.join(best, on="entity", how="left", maintain_order="left")
    is_top = pl.col("value").eq_missing(pl.col("top")) & pl.col("value").is_not_null()
    top_left = pl.when(is_top).then(pl.col("top_weight") - pl.col("weight")).otherwise(pl.col("top_weight"))
    second_wins = is_top & (pl.col("second_weight") > top_left)
    support = pl.when(second_wins).then("second_weight").otherwise(top_left)
    return joined.select(
        value=pl.when(second_wins).then("second").when(support > 0).then("top"),
        support=(support * _SCALE).round().cast(pl.Int64),
        of=((pl.col("all") - pl.col("weight")) * _SCALE).round().cast(pl.Int64),
        same=pl.lit(0, dtype=pl.Int64),
        known=pl.lit(value=False),
    )


def _accuracy(told: pl.DataFrame) -> pl.DataFrame:
    """How often each source says what most of the weight of the other sources says, with one doubtful fact added."""
    per_value = told.group_by("entity", "value").agg(behind=pl.col("weight").sum())
    of_entity = told.group_by("entity").agg(all=pl.col("weight").sum())
    scored = told.join(per_value, on=["entity", "value"]).join(of_entity, on="entity")
    others = pl.col("all") - pl.col("weight")
    share = pl.when(others > 1e-9).then((pl.col("behind") - pl.col("weight")) / others)
    # Rounded, since the sum of floats depends on an order that is not defined.
    return scored.group_by("source").agg(accuracy=((share.sum() + 0.5) / (share.count() + 1)).round(6))


def _weighted(told: pl.DataFrame, accuracy: pl.DataFrame) -> pl.DataFrame:
    joined = told.join(accuracy, on="source", how="left", maintain_order="left")
    bounded = pl.col("accuracy").clip(0.05, 0.95)
    return joined.with_columns(weight=(1 + bounded / (1 - bounded)).log().round(6)).drop("accuracy")
