"""Rules as files for other tools: a data contract, a suite of Great Expectations, a schema of Pandera.

Nothing here imports those tools. Invariant: an export is a function of the rules, the columns and the table's name alone.
"""

from tools.data_quality.exports.coverage import Export, LeftOut
from tools.data_quality.exports.great_expectations import to_great_expectations
from tools.data_quality.exports.odcs import to_odcs
from tools.data_quality.exports.pandera import to_pandera

__all__ = ["Export", "LeftOut", "to_great_expectations", "to_odcs", "to_pandera"]
