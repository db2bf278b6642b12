"""Which columns determine which: functional dependencies that hold in a table with errors in it.

A determines B when rows that agree in A agree in B far more often than chance has them agree. Each pair is screened on a
sample of whole groups; chance is what the same measure gives once B is shuffled. Real tables are full of pairs that
nearly depend (a city lies in one state, except for those that do not), so the search also asks what the disagreeing rows
look like: errors are scattered, each different, while exceptions repeat.

Invariant: a function of the table alone; the shuffle has a fixed seed and ties are broken by place.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import polars as pl

from tools.data_quality.dependencies.agreement import (
    FEWEST_OTHERS,
    LARGE,
    agreement,
    changes,
    lasts,
    pairs_of,
    usual_share,
)
from tools.data_quality.dependencies.keys import Keys
from tools.data_quality.dependencies.model import Dependency
from tools.data_quality.dependencies.together import mine_together

SAMPLE_ROWS: Final = 20_000
_FEWEST_ROWS: Final = 20
_FEWEST_GROUPS: Final = 8  # groups of two or more rows: fewer make any pair look dependent
_FEWEST_LARGE_GROUPS: Final = 4  # unless they are large, and the values of the dependent are spread evenly
_CLEAR: Final = 0.85  # agreement and lift of large groups
_EVEN: Final = 0.5  # share of the most frequent value up to which values are spread evenly
_FEWEST_DEPENDENTS: Final = 2
_AGREEMENT: Final = 0.8
_LIFT: Final = 0.75
_EXACT: Final = 0.995
_MEASURED: Final = 0.97  # agreement from which a measure is as good as a name
_NAMING: Final = ("category", "name", "text", "code")
_MOST_IN_ORDER: Final = 200
_CHANGING: Final = 0.9
_NEAR_CONSTANT: Final = 0.9
_CONSTANT: Final = 0.95  # share of a column's most frequent value from which nearly all cells are alike
_SETTLED: Final = 0.25
_MOST_CONDITIONS: Final = 50  # distinct values of a column that may sharpen another
_STILL_GROUPED: Final = 0.7
_SHARPER: Final = 0.75
_DIRTY_AGREEMENT: Final = 0.6  # of a table with many errors, where a sixth of the cells of each column may be wrong
_DIRTY_LIFT: Final = 0.58
_DIRTY_REPEATED: Final = 0.25
_NOISY_AGREEMENT: Final = 0.3
_NOISY_LIFT: Final = 0.25
_NOISY_MOST: Final = 0.97
_TELLING: Final = 0.35  # agreement by chance up to which sources that agree say something
_DENSE: Final = 0.6  # share of the cells of entity times source that are there
_UNIQUE: Final = 0.99
_FEWEST_SOURCES: Final = 4
_MOST_JUDGED: Final = 10_000  # pairs that are looked at closely: those of a hundred columns that all hang together
_SEED: Final = 7


def mine(keys: Keys, visit: Callable[[int, int], None] = lambda done, total: None) -> list[Dependency]:
    """Find the dependencies of a table, in order of dependent and determinant: of single columns, then of two together.

    Args:
        keys: The table.
        visit: Called with (columns done, of total) before each column; may raise to end the search.
    """
    found: list[Dependency] = []
    judged = 0
    width = keys.width
    if keys.frame.height < _FEWEST_ROWS or width < 2:
        return found
    for place in range(width):
        visit(place, width)
        if not 2 <= keys.distinct[place] <= 0.9 * keys.filled[place]:
            continue
        groups = _sample(keys, place)
        if groups is None:
            continue
        source = _source(keys, place)
        found += _sequences(keys, place)
        least = _DIRTY_AGREEMENT if source is None else _NOISY_AGREEMENT
        for dependent, most in enumerate(_most_agreement(groups, place, width)):
            if dependent != place and keys.distinct[dependent] >= _FEWEST_DEPENDENTS and most >= least:
                judged += 1
                if judged > _MOST_JUDGED:
                    break
                is_measure = keys.table.study_at(dependent).is_numeric
                screened = _judge(groups, place, dependent, source, is_measure=is_measure)
                if keys.table.study_at(place).has_fractions:
                    # Measures nearly determine much, by chance or by physics.
                    screened = [
                        replace(item, is_doubtful=item.is_doubtful or item.agreement < _MEASURED) for item in screened
                    ]
                found += [item for item in screened if groups.height >= keys.filled[place] or _holds(keys, item)]
    found = _believed(found)
    # The order of rows is weaker evidence than what is written in them.
    decided = {item.dependent for item in found if not item.offset}
    found = [item for item in found if not item.offset or item.dependent not in decided]
    found = _sharpened(keys, found)
    found += mine_together(keys, found, lambda: visit(width, width))
    return sorted(found, key=lambda item: (item.dependent, item.offset, item.determinants))


def _sample(keys: Keys, place: int) -> pl.DataFrame | None:
    """Whole groups of rows that agree in a column, as many as fit in the sample."""
    name = str(place)
    counts = keys.frame[name].drop_nulls().value_counts(name="rows").filter(pl.col("rows") > 1)
    if counts.height < _FEWEST_GROUPS and int((counts["rows"] >= LARGE).sum()) < _FEWEST_LARGE_GROUPS:
        return None
    # Multiplying by an odd constant spreads neighbouring keys, so that the sample is not the head of the file.
    spread = (pl.col(name).cast(pl.UInt64) * 2_654_435_761) % 4_294_967_296
    chosen = counts.sort(spread, name).with_columns(sum=pl.col("rows").cum_sum())
    chosen = chosen.filter((pl.col("sum") <= SAMPLE_ROWS) | (pl.int_range(pl.len()) < _FEWEST_GROUPS * 2))
    frame = keys.frame
    if chosen.height < counts.height:
        frame = frame.join(chosen.select(name), on=name, how="semi", maintain_order="left")
    return frame.filter(pl.col(name).is_not_null()).with_columns(
        pl.all().exclude(name).shuffle(seed=_SEED).name.prefix("shuffled ")
    )


def _most_agreement(groups: pl.DataFrame, place: int, width: int) -> list[float]:
    """What the agreement of each column cannot exceed: every further value of a group is one row that disagrees.

    Counting distinct pairs of all columns at once takes a small part of the time that judging each of them does.
    """
    key = pl.col(str(place)).cast(pl.UInt64)
    whole = groups[str(place)].n_unique()
    gaps = groups.select(pl.col(str(column)).null_count() for column in range(width)).row(0)
    counts = []
    for dependent in range(width):
        pair = key * 2**32 + pl.col(str(dependent)).cast(pl.UInt64)
        filled = pl.col(str(dependent)).is_not_null()
        counts.append((pair.filter(filled) if gaps[dependent] else pair).n_unique().alias(f"pairs {dependent}"))
        if gaps[dependent]:
            counts.append(key.filter(filled).n_unique().alias(f"groups {dependent}"))
    told = groups.select(counts).row(0, named=True)
    most = []
    for dependent in range(width):
        rows = groups.height - gaps[dependent]
        further = rows - told.get(f"groups {dependent}", whole)
        most.append(1 - (told[f"pairs {dependent}"] - rows + further) / further if further else 0.0)
    return most


def _judge(
    groups: pl.DataFrame, place: int, dependent: int, source: int | None, *, is_measure: bool
) -> list[Dependency]:
    seen = agreement(groups, [str(place)], str(dependent))
    if seen is None or seen.groups < _FEWEST_LARGE_GROUPS:
        return []
    if seen.agreement < (_NOISY_AGREEMENT if source is not None else _DIRTY_AGREEMENT):
        return []
    chance = agreement(groups, [str(place)], f"shuffled {dependent}")
    by_chance = chance.agreement if chance else 0.0
    lift = 1 - (1 - seen.agreement) / (1 - by_chance) if by_chance < 1 else 0.0
    told = Dependency((place,), dependent, seen.agreement, lift, seen.repeated, seen.groups)
    if seen.groups < _FEWEST_GROUPS:
        is_clear = seen.agreement >= _CLEAR and lift >= _CLEAR and seen.scatters
        return [told] if is_clear and usual_share(groups, dependent) <= _EVEN else []
    # The more rows disagree, the more clearly they must be errors: each different from the others.
    is_strong = seen.agreement >= _AGREEMENT and lift >= _LIFT and seen.scatters
    # Of measures, two hardly ever disagree alike, whether they are wrong or not.
    is_told_once = source in (None, dependent) and not is_measure
    is_dirty = (
        is_told_once and lift >= _DIRTY_LIFT and seen.repeated <= _DIRTY_REPEATED and seen.others >= FEWEST_OTHERS
    )
    if (is_strong or is_dirty) and usual_share(groups, dependent) < _CONSTANT:
        if is_measure and changes(groups, str(place), str(dependent)):
            return []
        return [replace(told, is_doubtful=not is_strong)]
    if (
        source not in (None, dependent)
        and lift >= _NOISY_LIFT
        and seen.agreement <= _NOISY_MOST
        and by_chance <= _TELLING
        and not lasts(groups, str(place), str(dependent))
    ):
        return [replace(told, source=source)]
    if (
        seen.agreement >= _NEAR_CONSTANT
        and _settled(groups, str(place), str(dependent)) >= _SETTLED
        and _settled(groups, str(place), f"shuffled {dependent}") < _SETTLED / 4
    ):
        return [replace(told, foreign_only=True)]
    return []


def _sequences(keys: Keys, place: int) -> list[Dependency]:
    """A column of words that come in a fixed order, over and over: the word before (or after) decides the word.

    Sorted columns are no such thing: there the row before mostly has the same value.
    """
    is_words = keys.table.studies[place].semantic in _NAMING
    if not is_words or not _FEWEST_GROUPS <= keys.distinct[place] <= _MOST_IN_ORDER:
        return []
    found = []
    for offset in (-1, 1):
        name = keys.beside(place, offset)
        head = keys.frame.select(str(place), name).head(SAMPLE_ROWS)
        differing = head.filter(pl.col(str(place)) != pl.col(name)).height
        if differing < _CHANGING * head.drop_nulls().height:
            continue
        seen = agreement(head, [name], str(place))
        if seen and seen.groups >= _FEWEST_GROUPS and seen.agreement >= _AGREEMENT:
            found.append(Dependency((place,), place, seen.agreement, groups=seen.groups, offset=offset))
    return found


def _believed(found: list[Dependency]) -> list[Dependency]:
    """Leave out doubtful dependencies, unless another column and the determinant decide each other: both name an entity."""
    pairs = {(item.determinants[0], item.dependent) for item in found if not (item.is_noisy or item.offset)}
    entities = {one for one, other in pairs if (other, one) in pairs}
    return [item for item in found if not item.is_doubtful or item.determinants[0] in entities]


def _sharpened(keys: Keys, found: list[Dependency]) -> list[Dependency]:
    """Give a determinant that has exceptions a second column, where the two together have far fewer.

    The second column must tell something new: one that the determinant itself decides would only hide errors.
    """
    few = [place for place, count in enumerate(keys.distinct) if 2 <= count <= _MOST_CONDITIONS]
    decided = {(item.determinants[0], item.dependent) for item in found if not item.offset}
    samples: dict[int, pl.DataFrame | None] = {}
    result = []
    for item in found:
        best = item
        if not (item.is_noisy or item.foreign_only or item.offset) and item.agreement < _EXACT:
            place, dependent = item.determinants[0], item.dependent
            if place not in samples:
                samples[place] = _sample(keys, place)
            for other in few:
                groups = samples[place]
                if keys.table.studies[dependent].is_numeric and keys.table.studies[other].is_numeric:
                    continue  # two measures nearly decide a third one by chance, or by physics
                if (
                    groups is None
                    or other in (place, dependent)
                    or (place, other) in decided
                    or (other, dependent) in decided
                ):
                    continue
                both = agreement(groups, [str(place), str(other)], str(dependent))
                if both is None or both.pairs < _STILL_GROUPED * _rows_in_groups(groups, place, dependent):
                    continue
                if 1 - both.agreement <= _SHARPER * (1 - best.agreement):
                    best = replace(item, determinants=(place, other), agreement=both.agreement)
        result.append(best)
    return result


def _rows_in_groups(groups: pl.DataFrame, place: int, dependent: int) -> int:
    told = groups.select(str(place), str(dependent)).drop_nulls()
    return told.height - told[str(place)].n_unique()


def _holds(keys: Keys, item: Dependency) -> bool:
    """Whether what a sample shows is so in all rows: groups of a large table are many, and some have exceptions."""
    seen = agreement(keys.frame, [str(item.determinants[0])], str(item.dependent))
    if seen is None:
        return False
    if item.is_noisy:
        return seen.agreement >= _NOISY_AGREEMENT
    return (seen.scatters or item.foreign_only) and seen.agreement >= (
        _NEAR_CONSTANT if item.foreign_only else _DIRTY_AGREEMENT
    )


def _settled(frame: pl.DataFrame, determinant: str, dependent: str) -> float:
    """Of the rows that hold one of the less frequent values, the share in groups where it is the usual one."""
    pairs = pairs_of(frame, [determinant], dependent).with_columns(
        all=pl.col("rows").sum().over(determinant),
        top=pl.col("rows").max().over(determinant),
        usual=pl.col("rows").sum().over(dependent),
    )
    rare = pairs.filter((pl.col("usual") < pl.col("usual").max()) & (pl.col("all") > 1))
    settled = rare.filter((pl.col("rows") == pl.col("top")) & (pl.col("rows") > 1))
    return int(settled["rows"].sum()) / int(rare["rows"].sum()) if rare.height else 0.0


def _source(keys: Keys, place: int) -> int | None:
    """The column that names the source of each row, where the rows of one entity are told by several sources."""
    for other in range(keys.width):
        if other == place or not _FEWEST_SOURCES <= keys.distinct[other] <= 0.2 * keys.filled[other]:
            continue
        if keys.table.study_at(other).semantic not in _NAMING:
            continue  # a year or a visit: what is told about it may have changed since
        cells, rows = keys.distinct[place] * keys.distinct[other], min(keys.filled[place], keys.filled[other])
        if not _UNIQUE * rows <= cells <= rows / _DENSE:
            continue  # more rows than cells: no source tells a fact once; far fewer: most sources tell few facts
        pair = keys.frame.select(str(place), str(other)).drop_nulls()
        if pair.height >= _DENSE * cells and pair.n_unique() >= _UNIQUE * pair.height:
            return other
    return None
