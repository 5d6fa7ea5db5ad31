"""Watches all tasks on the cluster: each round reads their folders once, and now and then sends SLURM one query."""

import time
from collections.abc import Sequence

from snakemake_executor_plugin_submitit import attempts, folders
from snakemake_executor_plugin_submitit.decide import Outcome, decide
from snakemake_executor_plugin_submitit.messages import few
from snakemake_executor_plugin_submitit.reasons import advice
from snakemake_executor_plugin_submitit.run import Run
from snakemake_executor_plugin_submitit.slurm import Answer
from snakemake_executor_plugin_submitit.states import Meaning, is_alive, meaning
from snakemake_executor_plugin_submitit.task import Task

FIRST_QUERY_S = 5.0  # after a submission, an error or anything unsettled


class Watch:
    """Finds out, round by round, the outcome of each task."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._interval = FIRST_QUERY_S
        self._next_query = 0.0
        self._last_query = float("-inf")
        self._reported: set[tuple[str, str]] = set()  # submissions, and why they do not start

    def hurry(self) -> None:
        """Query soon again: something has just changed."""
        self._interval = FIRST_QUERY_S
        self._next_query = min(self._next_query, time.monotonic() + FIRST_QUERY_S)

    def round(self, tasks: Sequence[Task]) -> dict[Task, Outcome]:
        """Return the outcome of each task."""
        results = _results(tasks)
        open_tasks = [task for task in tasks if results.get(task) != "success"]
        answer = self._query(open_tasks, any(results.get(task) == "error" for task in open_tasks))
        if answer is not None:
            self._report_stuck(tasks, answer)
        return {task: self._outcome(task, results.get(task), answer) for task in tasks}

    def _query(self, tasks: Sequence[Task], error_seen: bool) -> Answer | None:
        """Query the cluster if it is time to, None otherwise; the interval grows while there is nothing new."""
        now = time.monotonic()
        if error_seen or any(task.state is not None and not is_alive(task.state) for task in tasks):
            self.hurry()
        urgent = error_seen and now - self._last_query >= FIRST_QUERY_S
        if not tasks or (now < self._next_query and not urgent):
            return None
        self._last_query = now
        since = min(task.assignment.time for task in tasks)
        answer = self._run.cluster.states([task.handle for task in tasks], since)
        self._next_query = time.monotonic() + self._interval
        self._interval = min(self._interval * 1.5, max(FIRST_QUERY_S, self._run.settings.max_query_interval))
        return answer

    def _outcome(self, task: Task, result: str | None, answer: Answer | None) -> Outcome:
        """Return the outcome; without a fresh answer only a success is one."""
        if result == "success":
            return Outcome.SUCCESS
        if answer is None:
            return Outcome.WAIT
        state = answer.states.get(task.job_id, "" if answer.complete else None)
        if state:
            self._report(task, state)
        held_s = task.observe(result, state)
        entries = task.read_attempts() if state is not None and not is_alive(state) else []
        if attempts.count(entries, attempts.DONE):  # recorded, though a full disk kept the result from being written
            return Outcome.SUCCESS
        wants_restart = attempts.wants_restart(entries)
        return decide(result, state, held_s, wants_restart, self._run.settings.patience)

    def _report_stuck(self, tasks: Sequence[Task], answer: Answer) -> None:
        """Say once of each job, or array, why it will never start by itself."""
        stuck: dict[tuple[str, str], list[Task]] = {}
        for task in tasks:
            record = answer.records.get(task.job_id)
            waits = record is not None and meaning(record.state) is Meaning.WAITING
            text = advice(task.assignment.job_id or "", record.state, record.detail) if record and waits else None
            if text and (task.assignment.token, text) not in self._reported:
                stuck.setdefault((task.assignment.token, text), []).append(task)
        self._reported |= stuck.keys()
        for (_, text), group in stuck.items():
            ids = few(task.job_id for task in group)
            self._run.messages.warning(f"job {ids} ({group[0].rule}) does not start by itself: {text}")

    def _report(self, task: Task, state: str) -> None:
        """Report requeues."""
        if meaning(state) is Meaning.WAITING and task.was_running:
            summary = attempts.summary(task.read_attempts(), self._run.settings.max_timeouts, task.timeouts_before)
            reason = f": {summary}" if summary else ""
            self._run.messages.info(f"job {task.job_id} ({task.rule}) is back in the queue{reason}")
        task.was_running = meaning(state) is Meaning.RUNNING


def _results(tasks: Sequence[Task]) -> dict[Task, str]:
    """Return 'success' or 'error' of the tasks that have left a result."""
    existing = {folder: folders.result_files(folder) for folder in {task.folder for task in tasks}}
    files = {task: task.result_file for task in tasks}
    results = {task: folders.read_result(file) for task, file in files.items() if file.name in existing[file.parent]}
    return {task: result[0] for task, result in results.items() if result is not None}
