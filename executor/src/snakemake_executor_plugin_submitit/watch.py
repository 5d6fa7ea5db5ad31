"""Watches all tasks on the cluster: each round reads their folders once, and now and then sends SLURM one query."""

import time
from collections.abc import Sequence
from pathlib import Path

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
        self._results: dict[Path, set[str]] = {}  # names of the results in each folder, as of this round
        self._unreadable: set[Path] = set()  # folders that have been reported
        self._reported: set[tuple[str, str]] = set()  # submissions, and why they do not start

    def hurry(self) -> None:
        """Query soon again: something has just changed."""
        self._interval = FIRST_QUERY_S
        self._next_query = min(self._next_query, time.monotonic() + FIRST_QUERY_S)

    def round(self, tasks: Sequence[Task]) -> dict[Task, Outcome]:
        """Return the outcome of each task; one that cannot be looked at now is waited for, and hides no other."""
        failing: dict[Path, OSError] = {}
        tasks = self._readable(tasks, failing)
        results = {task: self._result(task) for task in tasks}
        open_tasks = [task for task in tasks if results[task] != "success"]
        answer = self._query(open_tasks, any(results[task] == "error" for task in open_tasks))
        if answer is not None:
            self._report_stuck(tasks, answer)
        outcomes = {}
        for task in tasks:
            try:
                outcomes[task] = self._outcome(task, results[task], answer)
            except OSError as error:
                failing[task.folder] = error
        self._report_unreadable(failing)
        return outcomes

    def _readable(self, tasks: Sequence[Task], failing: dict[Path, OSError]) -> list[Task]:
        """Read the folders; return the tasks of those that can be read, and add the others to `failing`."""
        self._results = {}
        for folder in {task.folder for task in tasks}:
            try:
                self._results[folder] = folders.result_files(folder)
            except OSError as error:
                failing[folder] = error
        return [task for task in tasks if task.folder in self._results]

    def _report_unreadable(self, failing: dict[Path, OSError]) -> None:
        """Say once of each folder that it cannot be read."""
        for folder in failing.keys() - self._unreadable:
            self._run.messages.warning(f"{folder} cannot be read now ({failing[folder].strerror}); its jobs run on")
        self._unreadable = set(failing)

    def _result(self, task: Task) -> str | None:
        """Return 'success' or 'error' if the task has left a result."""
        if task.result_file.name not in self._results[task.folder]:
            return None
        result = folders.read_result(task.result_file)
        return None if result is None else result[0]

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
        if (record := answer.records.get(task.job_id)) is not None:
            task.where = ", ".join(filter(None, (record.detail, record.nodes)))
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
