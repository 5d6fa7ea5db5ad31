"""What a failed call of sbatch means: the request will never be granted, it is too large, or it may be granted later.

Pure, and one table a meaning.
"""

import re

# A request that will never be granted; trying again would only hide it.
HOPELESS = re.compile(
    r"\binvalid (?!job (id|array))|unrecognized option|option .*(requires an argument|is ambiguous)|unspecified error"
    r"|requested (node configuration|time limit)|memory specification can not be satisfied"
    r"|more processors requested than permitted|node count specification invalid"
    r"|cpu count per node can not be satisfied"
    r"|user's group not permitted|access/permission denied|access denied|job dependency problem"
    r"|batch script (is empty|contains dos)|does not look like a batch script|pathname of a file|argument list too long"
    r"|(assoc|qos)(max|min)\w*(perjob|pernode)|(assoc|qos)maxwall|no partition specified|multiple partition job request"
)
# A limit on the number of jobs: fewer may be taken now, and more once others have ended.
TOO_MANY = re.compile(
    r"maxsubmit|submitjob|job submit limit|maxarraysize|invalid job array|temporarily unable to accept job|maxjobcount"
)
# An outage, whatever else the text says.
TRANSIENT = re.compile(
    r"timed out|timeout|unable to (contact|resolve)|connection (refused|reset)|connect failure|communication"
    r"|temporarily|try again|no space left|quota exceeded|zero bytes were transmitted|slurm controller|munge"
    r"|exit status 124|standby mode|backup controller|authentication|credential|i/o error|input/output error"
    r"|partition not available|partition configuration|node not available|not responding|stale file handle"
    r"|network is unreachable|no route to host|broken pipe|protocol|database|socket|retrying"
)


class Rejected(Exception):
    """The cluster will not take these jobs."""


class TooMany(Exception):
    """The cluster does not take so many jobs now."""


class Deferred(Exception):
    """The cluster did not take these jobs now, or took them and could not say so."""


def classify(said: str) -> Rejected | TooMany | Deferred:
    """Return what the error of a failed sbatch means; what is in no table may pass by waiting."""
    text = " ".join(said.split())
    plain = text.lower()
    if TOO_MANY.search(plain) and not HOPELESS.search(plain):
        return TooMany(text)
    if HOPELESS.search(plain) and not TRANSIENT.search(plain):
        return Rejected(text)
    return Deferred(text or "sbatch gave no answer")  # without a text it was killed by timeout, or by somebody
