"""Why a node ran, did not run, or waits: told from a plan and committed records alone, as data and in words.

Pure, like everything in `runtime/run`. `trace.py` and `surroundings.py` follow the records once; `reasons.py` says why an edge is
as it is, `waits.py` what is waited for, `parts.py` the rest of an activation; `activations.py` puts the answer together, and
`clauses.py` and `sentences.py` put it into words.
"""

from runtime.run.explain.activations import explain
from runtime.run.explain.explanation import Activation, Edge, Explanation, Live, Reason, Wait

__all__ = ["Activation", "Edge", "Explanation", "Live", "Reason", "Wait", "explain"]
