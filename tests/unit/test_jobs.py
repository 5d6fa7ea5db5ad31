"""What the Snakefile asks of a machine before anything starts."""

import os
import subprocess
import sys


def test_a_disk_without_room_stops_snakemake_before_anything_starts(tmp_path):
    code = (
        "import resource, sys, pathlib; from adaptive_smoothing.core import errors\n"
        "from adaptive_smoothing.pipeline.runtime import jobs\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: jobs.check_writable(pathlib.Path(sys.argv[1]))\n"
        "except errors.UserError as error: sys.exit(str(error))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"cannot write in {tmp_path}: File too large; nothing was started\n"
    assert os.listdir(tmp_path) == []
