"""Starts the Snakemake that runs one job on the node: `python -m ….node_snakemake -m snakemake ARGUMENTS`.

Snakemake runs a rule's command below a bash that dies of SIGTERM at once. Snakemake would then consider the job failed
and delete its outputs, while the job below still writes them. With a trap, bash waits for the command and passes its
exit status on. The command itself still receives SIGTERM, since a trap is not inherited.
"""

import sys

from snakemake_executor_plugin_submitit import interrupts

PREFIX = "set -euo pipefail; trap : TERM; "  # the first part is Snakemake's own default


def main() -> None:
    """Run Snakemake with the trap in front of every command."""
    from snakemake.cli import main as snakemake
    from snakemake.shell import shell

    if sys.argv[1:3] != ["-m", "snakemake"]:
        sys.exit("error: this module starts jobs of the submitit executor: node_snakemake -m snakemake ARGUMENTS")
    shell.prefix(PREFIX)
    interrupts.survive_sigterm()
    snakemake(sys.argv[3:])


if __name__ == "__main__":
    main()
