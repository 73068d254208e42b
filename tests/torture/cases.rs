//! The cases by name.

use std::{future::Future, pin::Pin, sync::Arc};

use super::{
    certificates, cluster, growth, hostile, input, load, node_loss, report::Run, secrets, shutdown,
    snapshots, soak,
};

type Ending = Pin<Box<dyn Future<Output = ()>>>;

/// One case: what it is called in the list, what is done, and when it passes.
pub(crate) struct Case {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) input: &'static str,
    pub(crate) pass: &'static str,
    pub(crate) run: fn(Arc<Run>) -> Ending,
}

macro_rules! case {
    ($id:literal, $name:literal, $run:path, $input:literal, $pass:literal) => {
        Case { id: $id, name: $name, input: $input, pass: $pass, run: |run| Box::pin($run(run)) }
    };
}

/// All cases, the longest first.
pub(crate) const CASES: &[Case] = &[
    case!(
        "T1",
        "t01_steady_load",
        load::steady,
        "1,000 recorded reviews a second for 10 minutes (short: 50 a second for 20 s)",
        "no failure; 99 % within 5 ms in the server and 99.9 % within 25 ms (release builds)"
    ),
    case!(
        "T2",
        "t02_rotation_under_load",
        certificates::rotation,
        "leaf and authority changed 50 times by a switched link, with a half-written, mismatched, expired or nameless pair before each; 200 reviews a second",
        "no failure; a new leaf within 10 s; a bad pair is counted and never served; gauges of both ends right"
    ),
    case!(
        "T3",
        "t03_rolling_restart",
        shutdown::rolling_restart,
        "3 replicas behind a balancer that goes on sending to a stopping one for 0.5 s, each replaced 20 times; 500 reviews a second",
        "no failure; each gone within 60 s; answers while draining close their connection"
    ),
    case!(
        "T4",
        "t04_idle_race",
        load::idle_race,
        "500 connections that wait between two requests for 0.1 to 95 s, dense around 2, 5, 10, 30, 60 and 90 s",
        "no failure; no connection closed by the server before 90 s"
    ),
    case!(
        "T5",
        "t05_kill_matrix",
        shutdown::kill_matrix,
        "SIGTERM during handshake, head, body, evaluation and answer, 50 times; and with clients that never go on",
        "every request that is complete before the end is answered; exit code 0 in time"
    ),
    case!(
        "T6",
        "t06_shedding",
        load::shedding,
        "every place taken by bodies that do not end, while 500 reviews come from a client that retries as client-go does",
        "503 with `Retry-After` and `Connection: close`; all succeed after relief; below 128 MiB"
    ),
    case!(
        "T7",
        "t07_slow_clients",
        hostile::slow,
        "500 connections within 2 s: no TLS, no request, a byte of the head or of the body a second, never reading",
        "all closed within 15 s; others do not fail, and 99 % of them wait at most twice as long as before or 20 ms (release builds); descriptors and memory back"
    ),
    case!(
        "T8",
        "t08_always_answers",
        input::always_answers,
        "10,000 recorded reviews with parts replaced by other types, and objects that are none",
        "200 under the right uid each time; what is no object is refused; no panic"
    ),
    case!(
        "T9",
        "t09_hostile_listener",
        hostile::listener,
        "other methods, paths, types and versions, lengths that lie, smuggled requests, long heads, no TLS",
        "4xx without a body, or closed; nothing smuggled is answered; none of it in logs or metrics"
    ),
    case!(
        "T10",
        "t10_sizes",
        input::sizes,
        "bodies from 0 bytes to 32 MiB + 1, lengths that lie, 50 of 27 MiB at once",
        "answered up to 32 MiB, 413 above; at most 178 MiB resident"
    ),
    case!(
        "T11",
        "t11_nesting_and_blow_up",
        input::nesting,
        "1,000,000 levels in spec, annotations and managedFields; 100,000 keys; 16 MiB; nested scripts and SQL; odd numbers and surrogates",
        "answered under the uid on a stack of 2 MiB; within 250 ms (release builds)"
    ),
    case!(
        "T13",
        "t13_deadline",
        input::deadline,
        "`?timeout=1s` to `30s` with an engine that stalls for 1.5 s",
        "answered before the timeout: refused by `/validate`, let in by `/mutate`, counted"
    ),
    case!(
        "T18",
        "t18_dry_run_is_silent",
        secrets::dry_run,
        "every recorded review as a dry run and in earnest, against an API server",
        "the same answer; no finding counted and no Event for a dry run"
    ),
    case!(
        "T21",
        "t21_canary_secrets",
        secrets::secrets,
        "reviews with tokens in options, variables, annotations, URLs and SQL, whole and cut off, at log level `trace`; the same Job in the cluster, which the server scans, and in a file that every command reads in every format",
        "no token in logs, metrics, Events, answers, the decision log, reports, or what a command prints or makes a page of; one object a line"
    ),
    case!(
        "T22",
        "t22_memory",
        soak::memory,
        "1,000,000 reviews, 3,000 a second (short: 2,000 in a debug build)",
        "at most 128 MiB; from the second fifth to the last memory grows by at most 4 bytes a review and 1 MiB (short: 200 bytes and 0.4 MiB), and descriptors beside those of connections, threads, and connections not at all"
    ),
    case!(
        "T23",
        "t23_cold_start",
        cluster::cold_start,
        "requests from the first moment, with an API server that takes 0.7 s for each answer; 10,000 namespaces and no CRDs; then a reset watch",
        "503 with `Retry-After` until everything is known; then ready within 5 s (release builds); at most 128 MiB"
    ),
    case!(
        "T24",
        "t24_api_server_gone",
        cluster::api_server_gone,
        "the API server fails for 5 minutes while a namespace changes",
        "decisions go on; the gauge of the last contact stands still; followed again without a storm of lists"
    ),
    case!(
        "T25",
        "t25_cpu_squeeze",
        load::squeeze,
        "a tenth of a processor by control group, on a core with a busy neighbour, or the neighbour alone where groups cannot be made; as many reviews as take seven tenths of it",
        "at least 50 reviews a second (debug: 8); no failure; held up and yet 99 % within 250 ms (debug: 2 s); both probes answer within a second"
    ),
    case!(
        "T26",
        "t26_node_loss",
        node_loss::node_loss,
        "3 replicas in network namespaces of their own, one of which loses every packet without a reset; 200 reviews a second and 25 at once every second, each waited for 3 s; the replica is taken out when it failed three probes of the chart in a row, and comes back after a minute",
        "at most 25 failures and those under way, all of them timeouts; none after 40 s; it is used again when it is back"
    ),
    case!(
        "T30",
        "t30_http2",
        hostile::http2,
        "a client that speaks HTTP/2 alone; floods of streams, resets and continuations all the same",
        "refused by ALPN; the server survives"
    ),
    case!(
        "T32",
        "t32_one_snapshot",
        snapshots::one_snapshot,
        "policies, labels of a namespace and certificates changed all the time while 8 clients ask",
        "every answer fits one policy in one version; every state is met"
    ),
    case!(
        "T34",
        "t34_unknown_fields",
        cluster::unknown_fields,
        "policies with fields of another version, in files and in the cluster",
        "refused with the place; in the cluster the last good one stays, and the status says so"
    ),
    case!(
        "T36",
        "t36_repetition",
        growth::repetition,
        "67 pieces of scripts, arguments and statements, each repeated to 128 KiB (short: 16 KiB) in six places, and every two of them to 48 KiB in a script (not in short); 3 MiB (short: 64 KiB) of containers with loops, and of variables that put each other in",
        "answered under the uid and in time; at most 178 MiB; within 250 ms, and 2 s for 3 MiB (release builds)"
    ),
    case!(
        "T35",
        "t35_soak",
        soak::soak,
        "280 recorded reviews a second for an hour, a million in all, with an API server that the server follows (short: 30 s)",
        "no failure; at most 128 MiB; from the second fifth to the last memory grows by at most 2 bytes a review and 1 MiB (short: 200 bytes and 0.4 MiB), and descriptors beside those of connections, threads, and connections not at all"
    ),
];

/// What is tested elsewhere, and what is not tested.
pub(crate) const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "T12",
        "patches are idempotent",
        "`a_patch_applied_is_not_asked_for_again` and, with an API server, `a_second_apply_changes_nothing`",
    ),
    (
        "T14",
        "form of a refusal",
        "with an API server: `every_finding_is_in_one_refusal`; and `every_recorded_review_is_answered_under_its_uid`",
    ),
    (
        "T15",
        "warnings and audit annotations",
        "with an API server: `warnings_reach_the_user`; the audit log itself is read in `every_kind_is_judged_without_an_error_in_the_api_server`",
    ),
    (
        "T16",
        "patches land",
        "with an API server: `the_recommended_layout_is_admitted_and_filled_in`",
    ),
    (
        "T17",
        "the registration",
        "with an API server: `nothing_is_asked_about_deleting_and_connecting`, `every_kind_is_judged_without_an_error_in_the_api_server`, `kube_system_is_left_alone`",
    ),
    (
        "T19",
        "ways of deletion",
        "with an API server: `what_violates_can_be_deleted`; with controllers, owners and namespaces too",
    ),
    (
        "T20",
        "bypasses",
        "`a_debug_container_that_migrates_is_refused`, `a_migration_in_an_init_container_is_refused` and `resuming_runs_nothing_that_was_not_approved` with an API server; [traps.md](traps.md) and the fixtures of every rule without",
    ),
    (
        "T27",
        "lock-out drill",
        "with an API server and controllers: `without_servers_only_migrations_are_held_up` (no replica, an API server that starts anew, the way out, uninstalled in either order), `an_outage_stops_migrations_and_nothing_else`, `edits_of_the_registration_stay_and_the_way_out_is_kept`; without, `what_an_administrator_took_away_stays_away`. Machines that start again are not there",
    ),
    (
        "T28",
        "drain of nodes",
        "with an API server and controllers: `evicting_every_replica_loses_no_request`, by the eviction API under the budget of the chart. There are no nodes to cordon and no scheduler; what a drain does to the process is T3",
    ),
    (
        "T29",
        "others who edit the configuration",
        "with an API server: `an_enforcer_of_the_platform_is_not_fought` (an enforcer like that of AKS which heeds no annotation, and somebody who applies anew), `applying_it_again_leaves_the_injected_authority`; without, `what_an_administrator_took_away_stays_away`. The enforcer of AKS itself, and cert-manager, were not there",
    ),
    (
        "T31",
        "fuzzing",
        "nine targets, from the envelope to signatures, about 15 minutes each; what was run and found is in [testing.md](testing.md#fuzzing). `just fuzz TARGET` goes on",
    ),
    (
        "T33",
        "versions of Kubernetes",
        "not done here: `just e2e` runs against whichever version `KUBEBUILDER_ASSETS` holds",
    ),
];
