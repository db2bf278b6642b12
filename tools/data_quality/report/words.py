"""What kinds, tiers and ends of the loop are called on the page, each with a sentence for who never heard of them.

Invariant: every kind, tier and reason to stop has its words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tools.data_quality.detectors.flags import Kind, Tier
from tools.data_quality.outcome import Stop


@dataclass(frozen=True, slots=True)
class Words:
    """A name, and a sentence that says what it means."""

    title: str
    meaning: str


KIND_WORDS: Final[Mapping[Kind, Words]] = {
    "missing": Words("Missing value", "An empty cell in a column that is otherwise filled."),
    "placeholder": Words("Placeholder", "A word or number that stands for “no value”, such as N/A or 9999."),
    "type": Words("Wrong type", "A value of another type than its column holds, such as a word among numbers."),
    "format": Words("Unusual format", "A value written in another way than the rest of its column."),
    "unit": Words("Unit", "A number with a unit behind it, or in another unit than the rest of its column."),
    "encoding": Words("Broken characters", "A text that was decoded with the wrong character set on its way here."),
    "typo": Words("Typo", "A rare value one or two letters away from a frequent one."),
    "rare_category": Words("Rare category", "A value that hardly occurs in a column of few and frequent values."),
    "outlier": Words("Outlier", "A number far outside the spread of its column."),
    "dependency": Words("Contradiction", "A value that contradicts what other columns of the same row determine."),
    "merged": Words("Merged values", "A value that holds what belongs into an empty column beside it."),
    "swapped": Words("Exchanged values", "Two values of a row that stand in each other's column."),
    "date": Words("Doubtful date", "A date that does not exist, or lies far from the others."),
    "geography": Words("Doubtful place", "Coordinates that do not fit the other columns of their row."),
    "sign": Words("Wrong sign", "A number whose sign is the opposite of nearly all others of its column."),
    "order": Words(
        "Wrong order", "Two values of a row that stand in the wrong order, such as an end before its start."
    ),
    "duplicate_row": Words("Repeated row", "A row that repeats an earlier one in every cell."),
}

TIER_WORDS: Final[Mapping[Tier, Words]] = {
    "auto": Words("Repaired", "Nothing is lost by it, or the table itself says what is right: repaired at once."),
    "suggest": Words("Waits for you", "Probably right, but it could be wrong: nothing changes until a person agrees."),
    "report": Words("Only reported", "Suspicious, but the table does not say what would be right: left as it is."),
}

STOP_WORDS: Final[Mapping[Stop, str]] = {
    "target": "few enough suspicious values were left.",
    "unchanged": "the last pass found nothing more to change.",
    "not_fewer": "the last pass did not leave fewer suspicious values than before, so it was undone.",
    "cap": "the number of passes is limited, and the limit was reached.",
}
