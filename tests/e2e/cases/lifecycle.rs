//! A release from its installation to its end, while people deploy.

use std::time::Duration;

use crate::e2e::{
    manifests,
    namespace::Namespace,
    process::poll,
    site::Site,
    traffic::{Traffic, Verdict},
};

const LIMIT: Duration = Duration::from_mins(1);

/// Whether hook Jobs are filled in, which tells whether anybody is asked.
fn is_asked(namespace: &Namespace<'_>) -> bool {
    let answer = namespace.dry_run(&manifests::migration_job("probe")).done();
    answer.stdout.contains("tidegate.dev/defaulted")
}

fn until_asked(namespace: &Namespace<'_>) {
    let asked = poll("servers are asked", LIMIT, || {
        if is_asked(namespace) { Ok(()) } else { Err("nothing is filled in".to_owned()) }
    });
    asked.unwrap();
}

/// Waits until a Deployment that migrates is refused.
pub(super) fn until_refused(namespace: &Namespace<'_>) {
    let bad = manifests::deployment(&[manifests::migrating("migrate")]);
    let refused = poll("a refusal", LIMIT, || {
        let answer = namespace.dry_run(&bad);
        if answer.success { Err(answer.to_string()) } else { Ok(answer) }
    });
    refused.unwrap().refused(&["migration-in-init-container"]);
}

pub(super) fn lifecycle(site: &Site) {
    let traffic = Traffic::start(&site.cluster, Verdict::Admitted);
    let namespace = Namespace::create(&site.cluster, "probe", None);
    traffic.rounds(1);

    site.install("");
    assert!(!is_asked(&namespace), "registered before anybody said so");
    assert!(traffic.faults().is_empty(), "installed: {:#?}", traffic.faults());

    site.upgrade("audit-only", "");
    until_asked(&namespace);
    traffic.rounds(2);
    assert!(traffic.faults().is_empty(), "audit: {:#?}", traffic.faults());

    traffic.expect(Verdict::Either);
    site.upgrade("production", "");
    site.settled();
    until_refused(&namespace);
    traffic.expect(Verdict::Refused);
    traffic.rounds(2);
    assert!(traffic.faults().is_empty(), "enforced: {:#?}", traffic.faults());

    // A newer version, and back: what is refused stays so, whichever replica is asked.
    let before = site.node.ended_well();
    site.upgrade("production", "image.tag=0.1.1,podAnnotations.release=newer");
    site.settled();
    traffic.rounds(1);
    assert!(traffic.faults().is_empty(), "upgraded: {:#?}", traffic.faults());
    site.helm(&["rollback", "tidegate", "--wait", "--timeout=3m"]).done();
    site.settled();
    traffic.rounds(1);
    assert!(traffic.faults().is_empty(), "rolled back: {:#?}", traffic.faults());
    assert_eq!(site.node.ended_well(), before + 6, "three replicas, replaced twice");

    // docs/uninstall.md
    traffic.expect(Verdict::Either);
    site.break_glass();
    site.helm(&["uninstall", "tidegate"]).done();
    site.cluster.kubectl(&["delete", "namespace", "tidegate"]).done();
    traffic.expect(Verdict::Admitted);
    assert!(!is_asked(&namespace));
    traffic.rounds(2);
    let sample = traffic.finish();
    assert_eq!(site.node.ended_well(), before + 9, "everything ended by itself");
    eprintln!("e2e: lifecycle: {sample:?}");
    assert!(sample.faults.is_empty(), "{sample:#?}");
    assert!(sample.refused >= 8 && sample.asked > 200, "{sample:?}");
    assert!(sample.slowest < Duration::from_secs(10), "{sample:?}");
    let left = site.cluster.kubectl(&[
        "get",
        "validatingwebhookconfigurations,mutatingwebhookconfigurations,clusterroles,clusterrolebindings",
        "-o=name",
    ]);
    assert!(!left.done().stdout.contains("tidegate"));
}
