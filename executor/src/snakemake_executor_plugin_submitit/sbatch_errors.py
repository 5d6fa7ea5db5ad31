"""What a failed call of sbatch means: the request will never be granted, or it may be granted later. Pure."""

import re

# A request that will never be granted; trying again would only hide it.
HOPELESS = re.compile(
    r"invalid (partition|account|qos|wckey|constraint|feature|generic resource|trackable resource|--|time limit"
    r"|job array|reservation|node name)"
    r"|unrecognized option|requested node configuration is not available|requested time limit is invalid"
    r"|memory specification can not be satisfied|more processors requested than permitted"
    r"|node count specification invalid|cpu count per node can not be satisfied|user's group not permitted"
    r"|access/permission denied"
)
# sbatch cannot, or may not yet, take the job.
TRANSIENT = re.compile(
    r"timed out|unable to contact|connection refused|connect failure|connection reset|communication|temporarily"
    r"|try again|maxsubmit|submitjob|job limit|no space left|quota exceeded|zero bytes were transmitted"
    r"|slurm controller|munge|exit status 124"
)


class Rejected(Exception):
    """The cluster will not take these jobs."""


class Deferred(Exception):
    """The cluster did not take these jobs now, or took them and could not say so."""

    def __init__(self, message: str, outage: bool) -> None:
        super().__init__(message)
        self.outage = outage  # whether it is known to be temporary


def classify(error: Exception) -> Rejected | Deferred:
    """Return what a failed submission means."""
    text = " ".join(str(error).split())
    transient = TRANSIENT.search(text.lower()) is not None
    if HOPELESS.search(text.lower()) and not transient:
        return Rejected(text)
    hung = not text  # killed by timeout, or by somebody
    return Deferred(text or "sbatch gave no answer", outage=transient or hung or isinstance(error, OSError))
