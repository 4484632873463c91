"""Fair contests: methods compared on the same prompts, with the same information.

``contest(...)`` is what a chapter calls, with a ``Contestant`` a method and the ``Information``
that all of them may use. ``rules`` says what a contestant declares, ``tuning`` chooses a baseline's
parameter on other prompts, ``judging`` runs the contest and ``results`` holds what came out.
"""

from icl_lib.contest.judging import contest
from icl_lib.contest.results import ContestResult, Estimate
from icl_lib.contest.rules import Contestant, Information
from icl_lib.contest.tuning import tune_grid

__all__ = ["ContestResult", "Contestant", "Estimate", "Information", "contest", "tune_grid"]
