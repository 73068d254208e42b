//! `tidegate doctor` on an installation that is all right, and then on one fault after another.

use std::{fs, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidegate::pki::{Kept, Lifetimes};

use super::lifecycle::until_refused;
use crate::e2e::{
    namespace::Namespace,
    process::poll,
    site::{NAMESPACE, Site},
};

const LIMIT: Duration = Duration::from_mins(2);

fn kubectl(site: &Site, args: &[&str]) {
    site.cluster.kubectl(args).done();
}

/// Waits until a check says this, as bad as this, with something to do about it.
fn finds(site: &Site, check: &str, grade: &str, says: &str) {
    let found = poll("the doctor finds it", LIMIT, || {
        let (code, seen) = site.doctor();
        let it = seen.iter().find(|symptom| {
            symptom["check"] == check
                && symptom["grade"] == grade
                && symptom["says"].as_str().unwrap().contains(says)
        });
        match it {
            Some(it) => {
                assert!(!it["mend"].as_str().unwrap().is_empty(), "{it}");
                assert_eq!(code, i32::from(seen.iter().any(|it| it["grade"] == "failure")));
                Ok(())
            }
            None => Err(Value::from(seen).to_string()),
        }
    });
    found.unwrap_or_else(|error| panic!("{check}: {says}: {error}"));
}

/// Waits until everything is all right but what the API server has counted before.
fn is_well(site: &Site) {
    let well = poll("all is well", LIMIT, || {
        let (code, seen) = site.doctor();
        let bad: Vec<&Value> =
            seen.iter().filter(|it| it["grade"] != "ok" && it["check"] != "failures").collect();
        if code == 0 && bad.is_empty() { Ok(()) } else { Err(format!("{bad:?}")) }
    });
    well.unwrap_or_else(|error| panic!("{error}\n{}", site.node.logs()));
}

pub(super) fn doctor(site: &Site) {
    // Nothing is there.
    finds(site, "registration", "failure", "there is no ValidatingWebhookConfiguration");
    finds(site, "servers", "failure", "there is no Service tidegate/tidegate");

    site.install("replicas=2,facts.configMaps=true");
    site.upgrade("production", "replicas=2");
    site.settled();
    until_refused(&Namespace::create(&site.cluster, "probe", None));
    is_well(site);
    let (code, seen) = site.doctor();
    let checks =
        ["registration", "definitions", "authority", "certificate", "servers", "rights", "review"];
    for check in checks {
        assert!(seen.iter().any(|it| it["check"] == check), "{check}: {seen:?}");
    }
    assert_eq!(code, 0);

    wrong_authority(site);
    nobody_registered(site);
    no_endpoints(site);
    no_rights(site);
    left_out(site);
    expired(site);
}

fn wrong_authority(site: &Site) {
    let other = Kept::new(&["x".to_owned()], &Lifetimes::default(), Timestamp::now()).unwrap();
    let bundle = {
        use base64::Engine as _;
        base64::prelude::BASE64_STANDARD.encode(other.pair().bundle)
    };
    let kind = "validatingwebhookconfiguration";
    kubectl(site, &["annotate", kind, "tidegate", "tidegate.dev/inject-ca=false"]);
    let patch =
        json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": bundle}]);
    kubectl(site, &["patch", kind, "tidegate", "--type=json", "-p", &patch.to_string()]);
    finds(site, "certificate", "failure", "trusts another authority than that of the certificate");
    finds(
        site,
        "review",
        "failure",
        "caBundle holds another authority than that of the certificate",
    );
    finds(site, "failures", "warning", "refused because no server answered");
    kubectl(site, &["annotate", kind, "tidegate", "tidegate.dev/inject-ca-"]);
    is_well(site);
}

fn nobody_registered(site: &Site) {
    kubectl(site, &["delete", "mutatingwebhookconfiguration", "tidegate"]);
    finds(site, "registration", "failure", "there is no MutatingWebhookConfiguration `tidegate`");
    kubectl(site, &["delete", "validatingwebhookconfiguration", "tidegate"]);
    finds(site, "review", "failure", "nothing was filled in");
    site.upgrade("production", "replicas=2");
    is_well(site);
}

fn no_endpoints(site: &Site) {
    kubectl(site, &["scale", "deployment/tidegate", "-n", NAMESPACE, "--replicas=0"]);
    finds(site, "servers", "failure", "no server is ready behind Service tidegate/tidegate");
    finds(site, "review", "failure", "no server is ready behind the Service");
    kubectl(site, &["scale", "deployment/tidegate", "-n", NAMESPACE, "--replicas=2"]);
    is_well(site);
}

fn no_rights(site: &Site) {
    kubectl(site, &["delete", "clusterrolebinding", "tidegate"]);
    finds(site, "rights", "warning", "the servers may not watch namespaces");
    kubectl(site, &["delete", "rolebinding", "tidegate", "-n", NAMESPACE]);
    finds(site, "rights", "warning", "the servers may not update secrets");
    site.upgrade("production", "replicas=2");
    is_well(site);
}

fn left_out(site: &Site) {
    let patch = json!([{"op": "add", "path": "/webhooks/0/namespaceSelector/matchExpressions/-",
        "value": {"key": "team", "operator": "DoesNotExist"}}]);
    let patch = patch.to_string();
    let args = ["patch", "validatingwebhookconfiguration", "tidegate", "--type=json", "-p", &patch];
    kubectl(site, &args);
    finds(site, "registration", "warning", "is also kept from namespaces by team");
}

/// A certificate that was put there by hand, and that nobody has renewed. The way there is that of
/// certs/README.md.
fn expired(site: &Site) {
    let lifetimes = Lifetimes { leaf: SignedDuration::from_secs(75), ..Lifetimes::default() };
    let names = ["tidegate.tidegate.svc".to_owned()];
    let pair = Kept::new(&names, &lifetimes, Timestamp::now()).unwrap().pair();
    let folder = site.cluster.folder().join("own");
    fs::create_dir(&folder).unwrap();
    for (file, text) in [("tls.crt", &pair.chain), ("tls.key", &pair.key), ("ca.crt", &pair.bundle)]
    {
        fs::write(folder.join(file), text).unwrap();
    }
    let from = format!("--from-file={}", folder.display());
    kubectl(site, &["create", "secret", "generic", "own", "-n", NAMESPACE, &from]);
    let file = format!("certificates.caBundle={}", folder.join("ca.crt").display());
    let own = ["--set-file", &file];
    let values = "replicas=2,certificates.mode=provided,certificates.secretName=own";
    let without = format!("{values},webhooks.register=false");
    site.try_upgrade("production", &without, &own).done();
    site.try_upgrade("production", values, &own).done();
    is_well(site);
    // The API server itself goes on for as long as it keeps a connection that it has.
    finds(site, "certificate", "failure", "the certificate has ended");
}
