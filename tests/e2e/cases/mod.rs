//! The cases, each in namespaces of its own.

mod admission;
mod approval;
mod approval_resource;
mod argocd;
mod certificates;
mod content;
mod controllers;
mod deletion;
mod deploy;
mod doctor;
mod documents;
mod drain;
mod enforcer;
mod jobs;
mod lifecycle;
mod live;
mod lockout;
mod outage;
mod ratchet;
mod reference;
mod registration;
mod reports;
mod wire;

use super::{site::Site, tidegate::Tidegate, world::World};

/// What somebody who uses a cluster relies on.
#[derive(Debug)]
pub(crate) struct Case {
    /// The behaviour.
    pub(crate) name: &'static str,
    /// What has to be there.
    pub(crate) needs: Needs,
    /// How it is seen.
    pub(crate) run: Run,
}

/// What a case needs besides an API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing.
    Nothing,
    /// Kubernetes' own controllers.
    Controllers,
    /// Those, and helm.
    Helm,
}

/// Whether a case can run beside others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Run {
    /// It can.
    Beside(fn(&World)),
    /// It stops the server.
    Alone(fn(&World, &mut Tidegate)),
    /// It installs the chart in a cluster of its own.
    Installed(fn(&Site)),
}

const fn case(name: &'static str, run: fn(&World)) -> Case {
    Case { name, needs: Needs::Nothing, run: Run::Beside(run) }
}

const fn controlled(name: &'static str, run: fn(&World)) -> Case {
    Case { name, needs: Needs::Controllers, run: Run::Beside(run) }
}

const fn installed(name: &'static str, run: fn(&Site)) -> Case {
    Case { name, needs: Needs::Helm, run: Run::Installed(run) }
}

/// Every case; the one that stops the server is the last to start.
pub(crate) const CASES: &[Case] = &[
    case("the_recommended_layout_is_admitted_and_filled_in", reference::layout),
    case("a_second_apply_changes_nothing", reference::second_apply),
    case("a_migration_in_an_init_container_is_refused", admission::init_container),
    case("every_finding_is_in_one_refusal", admission::all_findings),
    case("a_dry_run_gets_the_same_verdict_and_leaves_nothing", admission::dry_run),
    case("warnings_reach_the_user", admission::warnings),
    case("a_debug_container_that_migrates_is_refused", admission::debug_container),
    case("kube_system_is_left_alone", admission::kube_system),
    case("an_approval_covers_one_exact_migration", approval::exact),
    case("an_approval_that_ended_covers_nothing", approval::ended),
    case("an_approval_cannot_be_taken_from_a_live_job", approval::taken_away),
    case("two_people_approve_a_migration_in_the_cluster", approval_resource::by_two_people),
    case("an_approval_is_what_the_api_server_knows", approval_resource::authentic),
    case("an_approval_for_one_job_is_used_up_by_the_first", approval_resource::single_use),
    case("a_config_map_that_changes_later_is_noticed", content::changed_later),
    case("a_job_can_be_suspended_and_resumed", jobs::suspend_and_resume),
    case("resuming_runs_nothing_that_was_not_approved", jobs::resume_unapproved),
    case("a_deadline_cannot_be_raised_above_the_maximum", jobs::deadline),
    case("an_existing_violation_can_be_lived_with", ratchet::lived_with),
    case("an_existing_violation_cannot_get_company", ratchet::company),
    case("what_violates_can_be_deleted", deletion::finalizer),
    case("every_kind_is_judged_without_an_error_in_the_api_server", wire::every_kind),
    case("a_custom_resource_that_runs_pods_is_judged", wire::custom_resource),
    case("policies_and_exceptions_can_be_custom_resources", documents::custom_resources),
    case("levels_and_exceptions_change_at_run_time", live::levels_and_exceptions),
    case("one_migration_of_a_database_runs_at_a_time", live::concurrent),
    case("a_workload_that_migrates_counts_while_it_rolls_out", live::rollout),
    case("a_refusal_is_an_event", live::events),
    case("what_argo_cd_is_refused_is_told_at_its_application", argocd::application),
    case("the_manifests_of_the_chart_are_taken", deploy::manifests),
    case("the_bases_of_kustomize_hold_what_they_name", deploy::bases),
    Case {
        name: "the_chart_is_installed_and_removed_by_helm",
        needs: Needs::Helm,
        run: Run::Beside(deploy::release),
    },
    case("applying_it_again_leaves_the_injected_authority", deploy::injected_authority),
    case("nothing_is_asked_about_deleting_and_connecting", wire::unasked),
    controlled("a_deployment_gets_its_pods", controllers::deployment),
    controlled("an_existing_violation_still_rolls_out", controllers::existing_violation),
    controlled("a_cron_job_runs_its_jobs", controllers::cron_job),
    controlled("a_hook_job_runs_and_completes", controllers::hook_job),
    controlled("owners_and_namespaces_take_everything_with_them", controllers::deletion),
    installed("a_release_goes_its_way_and_no_request_is_lost", lifecycle::lifecycle),
    installed("edits_of_the_registration_stay_and_the_way_out_is_kept", registration::registration),
    installed("an_enforcer_of_the_platform_is_not_fought", enforcer::enforcer),
    installed("evicting_every_replica_loses_no_request", drain::drain),
    installed("without_servers_only_migrations_are_held_up", lockout::lockout),
    installed("certificates_are_replaced_under_load", certificates::certificates),
    installed("the_right_to_read_applications_is_there_where_it_is_asked_for", argocd::rights),
    installed("the_doctor_finds_what_is_wrong", doctor::doctor),
    Case {
        name: "reports_are_written_updated_and_collected_and_survive_a_leader",
        needs: Needs::Nothing,
        run: Run::Alone(reports::reports),
    },
    Case {
        name: "a_restart_of_the_api_server_stops_nothing",
        needs: Needs::Nothing,
        run: Run::Alone(live::restart),
    },
    Case {
        name: "an_outage_stops_migrations_and_nothing_else",
        needs: Needs::Nothing,
        run: Run::Alone(outage::outage),
    },
];
