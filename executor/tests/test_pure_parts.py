"""The executor plugin's pure parts: requests, states, outcomes, grouping, and what SLURM's commands print."""

from types import SimpleNamespace

import pytest

from snakemake_executor_plugin_submitit import attempts, environment, identity, local, slurm
from snakemake_executor_plugin_submitit.attempts import Entry
from snakemake_executor_plugin_submitit.decide import CONFIRM_S, RESULT_LAG_S, Outcome, decide
from snakemake_executor_plugin_submitit.endings import failure_reason, reason_without_result
from snakemake_executor_plugin_submitit.messages import few
from snakemake_executor_plugin_submitit.node import NodeJob
from snakemake_executor_plugin_submitit.reasons import advice
from snakemake_executor_plugin_submitit.request import BadRequest, request_of, slurm_options
from snakemake_executor_plugin_submitit.sbatch_errors import Deferred, Rejected, TooMany, classify
from snakemake_executor_plugin_submitit.states import STATES, Meaning, meaning
from snakemake_executor_plugin_submitit.submitit_backend import to_this_machine
from snakemake_executor_plugin_submitit.task import grouped

DELAY = 90
# JOB STATE CODES of man squeue and man sacct, SLURM 20.11 to 25.11, and what may become of a job in each.
MAY_STILL_RUN = [
    *("COMPLETING", "CONFIGURING", "EXPEDITING", "PENDING", "POWER_UP_NODE", "REQUEUED", "REQUEUE_FED"),
    *("REQUEUE_HOLD", "RESIZING", "RESV_DEL_HOLD", "RUNNING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED"),
    *("SUSPENDED", "UPDATE_DB"),
]
MAY_RUN_AGAIN = ["BOOT_FAIL", "LAUNCH_FAILED", "NODE_FAIL", "PREEMPTED", "RECONFIG_FAIL", "REVOKED"]
OVER = ["CANCELLED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "TIMEOUT"]


def request(**resources):
    return request_of({"runtime": 10, **resources}, resources.pop("threads", 1), DELAY)


def test_every_documented_state_is_in_the_table():
    assert sorted(STATES) == sorted([*MAY_STILL_RUN, *MAY_RUN_AGAIN, *OVER, "COMPLETED"])


@pytest.mark.parametrize("state", [*MAY_STILL_RUN, "A_STATE_OF_SLURM_30"])
@pytest.mark.parametrize("result", [None, "error"])
@pytest.mark.parametrize("asks", [False, True])
def test_a_job_that_may_still_run_is_waited_for_whatever_else_is_known(state, result, asks):
    assert decide(result, state, 1e9, asks, 180) is Outcome.WAIT


@pytest.mark.parametrize("state", MAY_RUN_AGAIN)
def test_a_job_that_slurm_may_run_again_is_given_time_and_then_submitted_again(state):
    assert decide(None, state, 179, False, 180) is Outcome.WAIT
    assert decide(None, state, 180, False, 180) is Outcome.AGAIN
    assert decide("error", state, 180, False, 180) is Outcome.FAILED


@pytest.mark.parametrize("state", [*OVER, "CANCELLED by 1000", "CANCELLED+", "failed"])
def test_a_job_that_is_over_without_a_result_has_failed_once_that_holds(state):
    assert decide(None, state, CONFIRM_S - 0.1, False, 180) is Outcome.WAIT
    assert decide(None, state, CONFIRM_S, False, 180) is Outcome.FAILED
    expected = Outcome.FAILED if state.startswith("CANCELLED") else Outcome.AGAIN
    assert decide(None, state, CONFIRM_S, True, 180) is expected


@pytest.mark.parametrize("state", [None, "", "COMPLETED", *MAY_STILL_RUN, *MAY_RUN_AGAIN, *OVER])
def test_a_success_is_one_in_every_state(state):
    assert decide("success", state, 0, False, 180) is Outcome.SUCCESS


@pytest.mark.parametrize("result", [None, "error"])
def test_nothing_is_concluded_from_no_answer(result):
    assert decide(result, None, 1e9, True, 0) is Outcome.WAIT


def test_completed_without_a_result_is_no_success():
    assert decide(None, "COMPLETED", RESULT_LAG_S - 1, False, 180) is Outcome.WAIT
    assert decide(None, "COMPLETED", RESULT_LAG_S, False, 180) is Outcome.FAILED
    assert "left no result" in reason_without_result("COMPLETED")
    assert reason_without_result("FAILED", "0:53, n3") == "no result; SLURM says FAILED (0:53, n3)"
    assert reason_without_result("NODE_FAIL") == "no result; SLURM says NODE_FAIL"
    assert meaning("COMPLETED") is Meaning.COMPLETED


def test_a_job_that_slurm_does_not_know_fails_after_the_patience():
    assert decide(None, "", 179, False, 180) is Outcome.WAIT
    assert decide(None, "", 180, False, 180) is Outcome.FAILED
    assert decide(None, "", 180, True, 180) is Outcome.AGAIN
    assert decide("error", "", CONFIRM_S, False, 180) is Outcome.FAILED


def test_all_resources_become_options():
    asked = request_of(
        {
            "runtime": 120,
            "gpu": 2,
            "gpu_model": "a100",
            "mem_mb": 4001,
            "slurm_partition": "gpu",
            "slurm_account": "lab",
            "slurm_qos": "high",
            "slurm_constraint": "ib&ssd",
            "slurm_extra": "--reservation='my night' --exclusive",
            "device": "cuda",
            "data_root": "/somewhere",
            "checkpoint_minutes": 10,
            "tmpdir": "/tmp",
        },
        8,
        DELAY,
    )
    assert slurm_options(asked, DELAY, use_srun=True) == {
        "time": 120,
        "nodes": 1,
        "ntasks": 1,
        "cpus-per-task": 8,
        "signal": "USR2@90",
        "requeue": True,
        "mem": "4001M",
        "gres": "gpu:a100:2",
        "partition": "gpu",
        "account": "lab",
        "qos": "high",
        "constraint": "ib&ssd",
        "reservation": "my night",
        "exclusive": True,
    }


def test_without_srun_the_batch_shell_gets_the_signal():
    assert slurm_options(request(), DELAY, use_srun=False)["signal"] == "B:USR2@90"


def test_no_gpu_and_no_memory_ask_for_neither():
    assert {"gres", "mem"}.isdisjoint(slurm_options(request(gpu=0), DELAY, use_srun=True))


@pytest.mark.parametrize(
    ("resources", "named"),
    [
        ({"runtime": None}, "runtime (minutes) is missing"),
        ({"runtime": 3}, "runtime is 3 min"),
        ({"runtime": 2.5}, "runtime: 2.5"),
        ({"runtime": "10"}, "runtime: '10'"),
        ({"gpu": -1}, "gpu: -1"),
        ({"gpu": True}, "gpu: True"),
        ({"gpu": 1, "gpu_model": "a100:2"}, "gpu_model: 'a100:2'"),
        ({"gpu_model": "a100"}, "gpu is 0"),
        ({"mem_mb": 0}, "mem_mb: 0"),
        ({"slurm_extra": "--nice 5"}, "'5'"),
        ({"slurm_extra": "-x node"}, "'-x'"),
        ({"slurm_extra": "--array=1-5"}, "--array is set"),
        ({"slurm_extra": "--arr=1-5"}, "--arr is set"),  # sbatch accepts beginnings
        ({"slurm_extra": "--ntasks=2"}, "--ntasks is set"),
        ({"slurm_extra": "--clusters=big"}, "--clusters is not supported"),
        ({"slurm_extra": "--clus=big"}, "--clus is not supported"),
        ({"slurm_extra": "--comment='x"}, "cannot be read"),
        ({"slurm_partition": "a\n#SBATCH --wrap=x"}, "slurm_partition"),
    ],
)
def test_a_wrong_resource_names_itself(resources, named):
    with pytest.raises(BadRequest) as error:
        request(**resources)
    assert named in str(error.value)


def test_the_least_runtime_that_is_named_is_accepted():
    for delay in (5, 90, 600):
        with pytest.raises(BadRequest) as error:
            request_of({"runtime": 1}, 1, delay)
        least = int(str(error.value).rsplit("at least ", 1)[1].split()[0])
        assert request_of({"runtime": least}, 1, delay).runtime == least
        with pytest.raises(BadRequest):
            request_of({"runtime": least - 1}, 1, delay)


def test_jobs_of_one_rule_with_equal_requests_go_up_together_in_pieces():
    small, large = request(mem_mb=1), request(mem_mb=2)
    jobs = [("make", small)] * 5 + [("make", large)] * 2 + [("measure", small)] + [("make", small)]
    made = grouped(list(enumerate(jobs)), lambda job: job[1], size=4)
    assert [[number for number, _ in batch] for batch in made] == [[0, 1, 2, 3], [4, 8], [5, 6], [7]]
    assert grouped([], lambda job: job, size=4) == []


def test_the_configuration_is_read():
    text = "Configuration data as of 2026\nMaxArraySize            = 1001\nSlurmctldParameters     = a=b,c\n\n"
    assert slurm.configuration(text) == {"MaxArraySize": "1001", "SlurmctldParameters": "a=b,c"}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Batch job submission failed: Invalid account or account/partition combination", Rejected),
        ("invalid partition specified: nix", Rejected),
        ("Batch job submission failed: Requested node configuration is not available", Rejected),
        ("QOSMaxWallDurationPerJobLimit\nJob violates accounting/QOS policy (job submit limit, …)", Rejected),
        ("Access/permission denied", Rejected),
        ("option '--mem' requires an argument", Rejected),
        ("Socket timed out on send/recv operation", Deferred),
        ("Unable to contact slurm controller (connect failure)", Deferred),
        ("Slurm backup controller in standby mode", Deferred),
        ("Invalid authentication credential", Deferred),
        ("I/O error writing script/environment to file", Deferred),
        ('Unable to resolve "head": Unknown host', Deferred),
        ("Required partition not available (inactive or drain)", Deferred),
        ("", Deferred),
        ("something new", Deferred),
        ("QOSMaxSubmitJobPerUserLimit\nJob violates accounting/QOS policy (job submit limit, …)", TooMany),
        ("AssocMaxSubmitJobLimit", TooMany),
        ("Batch job submission failed: Invalid job array specification", TooMany),  # larger than MaxArraySize
        ("Slurm temporarily unable to accept job, sleeping and retrying", TooMany),
    ],
)
def test_what_sbatch_says_is_understood(said, kind):
    assert type(classify(f"sbatch: error: {said}" if said else said)) is kind


@pytest.mark.parametrize(
    ("state", "reason", "named"),
    [
        ("PENDING", "JobHeldAdmin", "ask for: scontrol release 7"),
        ("PENDING", "JobHeldUser", "scontrol release 7"),
        ("PENDING", "job requeued in held state", "scontrol release 7"),
        ("PENDING", "launch failed requeued held", "a node could not start it"),
        ("REQUEUE_HOLD", "None", "REQUEUE_HOLD: an administrator holds it"),
        ("PENDING", "PartitionTimeLimit", "lower runtime"),
        ("PENDING", "BadConstraints", "slurm_constraint"),
        ("PENDING", "DependencyNeverSatisfied", "slurm_extra"),
        ("PENDING", "AssocMaxWallDurationPerJobLimit", "more than a job may have"),
        ("PENDING", "QOSMaxGRESPerJob", "more than a job may have"),
        ("PENDING", "AssocGrpCPUMinutesLimit", "budget"),
        *(("PENDING", reason, None) for reason in ("Priority", "Resources", "None", "BeginTime", "Dependency", "")),
        ("PENDING", "ReqNodeNotAvail, UnavailableNodes:n1", None),
        ("PENDING", "QOSMaxJobsPerUserLimit", None),
        ("PENDING", "JobArrayTaskLimit", None),
    ],
)
def test_a_reason_that_never_passes_comes_with_a_way_out(state, reason, named):
    text = advice("7", state, reason)
    assert named in text if named else text is None


def test_attempts_survive_a_line_that_was_cut_short(tmp_path):
    path = tmp_path / "attempts.jsonl"
    assert attempts.append(path, Entry(attempts.START, "1-1", 1.0))
    with path.open("a") as file:
        file.write('{"event": "sta')
    assert attempts.append(path, Entry(attempts.TIMEOUT, "1-1", 2.0))
    assert attempts.append(path, Entry(attempts.START, "2-2", 3.0))
    entries = attempts.read(path)
    assert [entry.event for entry in entries] == [attempts.START, attempts.TIMEOUT, attempts.START]
    assert [entry.attempt for entry in attempts.unstopped(entries)] == ["2-2"]
    assert not attempts.count(entries, attempts.DONE) and not attempts.wants_restart(entries)
    assert attempts.wants_restart(entries[:2])
    assert attempts.summary(entries, 3) == "1 of 3 requeues after its time limit"
    assert attempts.summary(entries[:1], 3) == ""
    assert attempts.read(tmp_path / "none") == []
    assert not attempts.append(tmp_path / "no folder" / "x", entries[0])


def entry(event, attempt, token="new"):
    return Entry(event, attempt, 0.0, token=token)


CLAIMED = ("c0", "c1")
LATE = [entry(attempts.CLAIM, "c0", "old"), entry(attempts.CLAIM, "c1"), entry(attempts.START, "own")]


@pytest.mark.parametrize(
    ("entries", "known", "expected"),
    [
        ([], (), None),
        ([entry(attempts.CLAIM, "c1"), entry(attempts.START, "own")], (), None),
        ([entry(attempts.START, "other"), entry(attempts.START, "own")], (), None),
        ([entry(attempts.START, "own"), entry(attempts.START, "other")], (), "other"),
        ([entry(attempts.START, "own"), entry(attempts.CLAIM, "c2", "newer")], (), "c2"),
        ([entry(attempts.CLAIM, "c2", "newer"), entry(attempts.START, "own")], ("c1",), "c2"),  # before its own line
        (LATE, CLAIMED, None),
        ([*LATE, entry(attempts.START, "other", "old")], CLAIMED, None),  # which has to end itself
        ([*LATE, entry(attempts.START, "other")], CLAIMED, "other"),
        ([entry(attempts.START, "own"), entry(attempts.CLAIM, "c1")], (), None),  # a line that came late
        ([entry(attempts.START, "own"), entry(attempts.START, "own")], (), None),
        ([entry(attempts.START, "before")], ("before",), None),  # its own start could not be written
        ([entry(attempts.START, "before"), entry(attempts.START, "other")], ("before",), "other"),
    ],
)
def test_what_takes_the_place_of_an_attempt_comes_after_it_whatever_the_clocks_say(entries, known, expected):
    found = attempts.superseding(entries, "own", "new", known)
    assert (found and found.attempt) == expected


def test_the_last_claim_of_an_output_counts():
    old, new = entry(attempts.CLAIM, "c1", "old"), entry(attempts.CLAIM, "c2", "new")
    assert attempts.is_claimed_by_another([old, new], "old")
    assert not attempts.is_claimed_by_another([old, new], "new")
    assert not attempts.is_claimed_by_another([], "new")
    assert not attempts.is_claimed_by_another([old], "")  # pickled by an older version


LOGIN = {"SBATCH_ACCOUNT": "lab", "SBATCH_JOB_NAME": "mine", "SQUEUE_USERS": "me", "SLURM_CLUSTERS": "big"}


def test_variables_of_slurm_reach_no_command_except_how_to_reach_the_cluster():
    kept = {"SLURM_CONF": "/etc/slurm.conf", "SLURM_JWT": "secret", "PATH": "/bin", "MY_SLURM_X": "1"}
    assert environment.cleaned({**LOGIN, **kept}) == kept
    assert environment.removed({**LOGIN, **kept}) == sorted(LOGIN)


def test_variables_that_choose_where_jobs_go_are_defaults_outside_of_jobs():
    assert environment.sbatch_defaults(LOGIN) == {"account": "lab"}
    assert environment.sbatch_defaults({**LOGIN, "SLURM_JOB_ID": "7"}) == {}


def test_values_have_a_text_that_does_not_depend_on_memory():
    class Thing:
        pass

    assert identity.stable(Thing()) == identity.stable(Thing())
    assert identity.stable({"a": {3, 1, 2}}) == identity.stable({"a": {2, 3, 1}})
    assert identity.stable({"a": 1}) != identity.stable({"a": 2})


def test_the_reason_of_a_failure_is_found_in_submitits_traceback():
    trace = (
        'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    y()\n'
        "snakemake_executor_plugin_submitit.node.JobFailed: exit status 1; its last lines:\nerror: of the job\n"
    )
    assert failure_reason(trace) == "exit status 1"
    assert failure_reason("Traceback:\n  x\nValueError: bad\n") == "ValueError: bad"


def test_a_few_of_many_are_named():
    assert few(["a", "b"]) == "a, b"
    assert few(map(str, range(5))) == "0, 1, 2 and 2 more"


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("0,1", ["0", "1"]),
        ("3, 1", ["3", "1"]),
        ("0,-1,1", ["0"]),  # CUDA stops there
        ("GPU-8f6d3c1e,MIG-GPU-8f6d3c1e/1/0", ["GPU-8f6d3c1e", "MIG-GPU-8f6d3c1e/1/0"]),
        ("1,1", ["1"]),
        ("", []),
        ("-1", []),
    ],
)
def test_this_machines_gpus_are_those_that_cuda_would_see(monkeypatch, visible, names):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpus = local.Gpus()
    assert local.visible_gpus() == names
    gpus.check(len(names))
    with pytest.raises(
        Rejected, match=rf"asks for {len(names) + 1} GPU\(s\) \(resource gpu\), but {len(names)} are there"
    ):
        gpus.check(len(names) + 1)
    assert list(gpus.take(len(names), "all")) == names


def test_gpus_are_shared_out_whatever_their_names(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-b,MIG-a,MIG-c")
    gpus = local.Gpus()
    assert [gpus.take(1, token) for token in ("x", "y")] == [("MIG-b",), ("MIG-a",)]
    gpus.give_back("x")
    assert gpus.take(2, "z") == ("MIG-b", "MIG-c")


@pytest.mark.parametrize("names", [("MIG-GPU-8f6d3c1e/1/0",), ("2", "0"), ()])
def test_a_local_job_is_given_its_gpus_by_name(tmp_path, monkeypatch, names):
    from submitit.local import local as submitits

    given = []

    def start_controller(*_, cuda_devices, **__):
        given.append(cuda_devices)
        return SimpleNamespace(pid=1)

    monkeypatch.setattr(submitits, "start_controller", start_controller)
    job = NodeJob("true", str(tmp_path), str(tmp_path / "attempts"), 10, 30, 0, 0, "local")
    to_this_machine(job, tmp_path, names)
    assert given == [",".join(names)]
