"""A SLURM that only looks like one: one script plays all its programs, and its jobs never run.

A test sets delays and answers by files in the script's folder: `sbatch.delay` (seconds), `squeue.fails` (the error that
it prints), `states` (the state of every job that is not cancelled).
"""

import json
import os
import sys
from pathlib import Path

PROGRAMS = ("sbatch", "squeue", "scancel", "sacct", "scontrol", "srun")
SCRIPT = """#!{python} -IS
import json, os, re, sys, time
folder = os.path.dirname(os.path.abspath(sys.argv[0]))
program = os.path.basename(sys.argv[0])
def text(name, default=""):
    path = os.path.join(folder, name)
    return open(path).read().strip() if os.path.exists(path) else default
with open(os.path.join(folder, "calls"), "a") as file:
    file.write(json.dumps([program, *sys.argv[1:]]) + "\\n")
time.sleep(float(text(program + ".delay", "0")))
if text(program + ".fails"):
    sys.exit(text(program + ".fails"))
jobs_file = os.path.join(folder, "jobs")
jobs = [json.loads(line) for line in text("jobs").splitlines()]
options = dict(word[2:].partition("=")[::2] for word in sys.argv[1:] if word.startswith("--"))
words = [word for word in sys.argv[1:] if not word.startswith("--")]
if program == "sbatch":
    script = open(words[0]).read()
    array = re.search(r"--array='?0-(\\d+)", script)
    limit = int(text("limit", "1000000"))
    count = int(array[1]) + 1 if array else 1
    if len([job for job in jobs if not job["cancelled"]]) + count > limit:
        sys.exit("sbatch: error: Batch job submission failed: Job violates accounting/QOS policy "
                 "(job submit limit, user's size and/or time limits)")
    number = len(set(job["id"].partition("_")[0] for job in jobs)) + 1
    name = re.search(r"--job-name='?([^\\s']+)", script)[1]
    ids = [f"{{number}}_{{index}}" for index in range(count)] if array else [str(number)]
    with open(jobs_file, "a") as file:
        for one in ids:
            file.write(json.dumps(dict(id=one, name=name, cancelled=False, workdir=os.getcwd())) + "\\n")
    print("Submitted batch job", number)
elif program == "squeue":
    asked = options.get("jobs", "").split(",") if "jobs" in options else None
    for job in jobs:
        whole = job["id"].partition("_")[0]
        if asked is not None and whole not in asked or "name" in options and job["name"] != options["name"]:
            continue
        state = "CANCELLED" if job["cancelled"] else text("states", "RUNNING")
        values = dict(i=job["id"], T=state, U=os.getuid(), r=text("reason", "None"), N="n1", j=job["name"],
                      Z=job["workdir"], F=whole)
        print(re.sub("%(.)", lambda match: str(values[match[1]]), options["format"]))
elif program == "scancel":
    for job in jobs:
        named = "name" in options and job["name"] == options["name"] and not words
        job["cancelled"] |= named or job["id"] in words or job["id"].partition("_")[0] in words
    with open(jobs_file + ".new", "w") as file:
        file.writelines(json.dumps(job) + "\\n" for job in jobs)
    os.replace(jobs_file + ".new", jobs_file)
elif program == "scontrol":
    print("ClusterName = fake\\nMaxArraySize = " + text("arrays", "1001"))
"""


class FakeSlurm:
    """The programs in a folder, to be put in front of PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        for name in PROGRAMS:
            (folder / name).write_text(SCRIPT.format(python=os.path.realpath(sys.executable)))
            (folder / name).chmod(0o755)

    @property
    def path(self) -> str:
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    def set(self, name: str, value: object) -> None:
        (self.folder / name).write_text(str(value))

    def jobs(self) -> list[dict]:
        file = self.folder / "jobs"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def calls(self, program: str) -> list[list[str]]:
        file = self.folder / "calls"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [words[1:] for words in lines if words[0] == program]
