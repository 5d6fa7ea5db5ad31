"""Watches all tasks that are under way: one look into their folders a round, and one question to SLURM now and then."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from snakemake_executor_plugin_submitit import attempts, folders
from snakemake_executor_plugin_submitit.local import Local
from snakemake_executor_plugin_submitit.outcome import Verdict, judge
from snakemake_executor_plugin_submitit.settings import ExecutorSettings
from snakemake_executor_plugin_submitit.slurm import Answer, Slurm
from snakemake_executor_plugin_submitit.states import ALIVE, HELD, Meaning, bare, meaning
from snakemake_executor_plugin_submitit.task import Task

FIRST_QUERY_S = 5.0  # after a submission, an error or anything unsettled


class Watch:
    """Finds out, round by round, what became of each task."""

    def __init__(self, cluster: Slurm | Local, settings: ExecutorSettings, say: Callable[[str], None]) -> None:
        self._cluster, self._settings, self._say = cluster, settings, say
        self._interval = FIRST_QUERY_S
        self._next_query = 0.0
        self._asked = float("-inf")
        self.queries = 0

    def hurry(self) -> None:
        """Ask soon again: something has just changed."""
        self._interval = FIRST_QUERY_S
        self._next_query = min(self._next_query, time.monotonic() + FIRST_QUERY_S)

    def round(self, tasks: Sequence[Task]) -> list[tuple[Task, Verdict]]:
        """Return a verdict for each task."""
        results = self._results(tasks)
        open_tasks = [task for task in tasks if results.get(task) != "success"]
        answer = self._ask(open_tasks, any(results.get(task) == "error" for task in open_tasks))
        return [(task, self._judge(task, results.get(task), answer)) for task in tasks]

    def _results(self, tasks: Sequence[Task]) -> dict[Task, str]:
        """Return 'success' or 'error' of the tasks that have left a result."""
        from snakemake_executor_plugin_submitit.submit import read_result

        names: dict[Path, set[str]] = {folder: folders.result_files(folder) for folder in {t.folder for t in tasks}}
        found = [task for task in tasks if task.result_name in names[task.folder]]
        results = {task: read_result(task.folder / task.result_name) for task in found}
        return {task: result[0] for task, result in results.items() if result is not None}

    def _ask(self, tasks: Sequence[Task], error_seen: bool) -> Answer | None:
        """Ask the cluster if it is time to, None otherwise; the interval grows while there is nothing new."""
        now = time.monotonic()
        unsettled = any(task.state is not None and not _alive(task.state) for task in tasks)
        if error_seen or unsettled:
            self.hurry()
        if not tasks or (now < self._next_query and not (error_seen and self._interval_passed(now))):
            return None
        self.queries += 1
        self._asked = now
        answer = self._cluster.states([task.job_id for task in tasks], min(task.placed.time for task in tasks))
        self._next_query = time.monotonic() + self._interval
        self._interval = min(self._interval * 1.5, max(FIRST_QUERY_S, self._settings.max_query_interval))
        return answer

    def _interval_passed(self, now: float) -> bool:
        return now - self._asked >= FIRST_QUERY_S

    def _judge(self, task: Task, result: str | None, answer: Answer | None) -> Verdict:
        """Return the verdict; without a fresh answer only a success is one."""
        if result == "success":
            return Verdict.SUCCESS
        if answer is None:
            return Verdict.WAIT
        state = answer.states.get(task.job_id, "" if answer.complete else None)
        self._tell(task, state)
        held = task.saw(result, state)
        over = state is not None and not _alive(state)
        asks = over and attempts.asks_to_go_on(attempts.read(task.placed.attempts_file(task.index)))
        return judge(result, state, held, asks, self._settings.patience)

    def _tell(self, task: Task, state: str | None) -> None:
        """Tell the user of requeues, and of jobs that only an administrator can release."""
        if not state:
            return
        if meaning(state) is Meaning.WAITING and task.was_running:
            entries = attempts.read(task.placed.attempts_file(task.index))
            summary = attempts.summary(entries, self._settings.max_timeouts, task.timeouts_before)
            self._say(f"job {task.job_id} ({task.rule}) is back in the queue{': ' + summary if summary else ''}")
        if bare(state) in HELD and bare(task.state or "") not in HELD:
            self._say(f"job {task.job_id} ({task.rule}) is held ({state}); release it with scontrol release")
        task.was_running = meaning(state) is Meaning.RUNNING


def _alive(state: str) -> bool:
    return bool(state) and meaning(state) in ALIVE
