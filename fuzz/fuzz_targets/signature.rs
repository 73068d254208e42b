//! Any bytes as an OpenSSH signature, or as an allowed-signers list: nothing panics, and what holds
//! holds for one approval only.

#![no_main]

mod common;

use std::sync::LazyLock;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use ssh_key::{HashAlg, PrivateKey, encoding::Encode as _, private::Ed25519Keypair};
use tidegate::{
    decision::validate,
    model::{Change, Fact, Facts, Labels, Object},
    policy::{self, PolicySet, SIGNATURE_NAMESPACE, digest, signed_text, signer},
};

const SIGNATURE: &str = "tidegate.dev/approval-signature";

fn key() -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]))
}

fn policies(signers: &str) -> Result<PolicySet, Vec<policy::LoadError>> {
    let text = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationPolicy",
        "metadata": {"name": "p"},
        "spec": {
            "rules": {"destructive-without-backup": {"level": "Off"}},
            "approvals": {"signatures": {"required": true, "allowedSigners": signers}},
        },
    });
    policy::parse(&text.to_string(), "p.json").map(PolicySet::new)
}

/// Every key of the test vectors, and the one of the approval.
static POLICIES: LazyLock<PolicySet> = LazyLock::new(|| {
    let keys = [
        include_str!("../../tests/signatures/ed25519.pub"),
        include_str!("../../tests/signatures/ecdsa-256.pub"),
        include_str!("../../tests/signatures/ecdsa-384.pub"),
        include_str!("../../tests/signatures/ecdsa-521.pub"),
        include_str!("../../tests/signatures/rsa-3072.pub"),
    ];
    let own = key().public_key().to_openssh().expect("a key");
    let lines = keys.iter().copied().chain([own.as_str()]);
    let signers: String = lines.map(|key| format!("* {}\n", key.trim())).collect();
    policies(&signers).expect("a policy")
});

/// A Job with an approval that lacks nothing but its signature.
static JOB: LazyLock<Value> = LazyLock::new(|| {
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "drop", "annotations": {
            "tidegate.dev/approved-by": "alice@example.com",
            "tidegate.dev/approval-ticket": "DB-1",
            "tidegate.dev/approved-namespace": "shop",
            "tidegate.dev/approved-until": "2026-06-02T12:00:00Z",
        }},
        "spec": {"backoffLimit": 0, "activeDeadlineSeconds": 60, "template": {"spec": {
            "restartPolicy": "Never", "securityContext": {"runAsNonRoot": true},
            "containers": [{
                "name": "sql", "image": "postgres:16", "command": ["psql", "-c", "DROP TABLE a"],
                "env": [{"name": "PGHOST", "value": "db"}],
                "resources": {
                    "requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"},
                },
            }],
        }}},
    });
    let text = job.to_string();
    let digest = digest(&Object::parse(&text).expect("a Job")).to_string();
    job["metadata"]["annotations"]["tidegate.dev/approved-digest"] = json!(digest);
    let good = signature(&job);
    assert!(holds(&POLICIES, &job, &BASE64_STANDARD.encode(&good)), "the yardstick");
    // A seed that no corpus has to hold: `TIDEGATE_FUZZ_SEED=FILE` writes it.
    if let Some(file) = std::env::var_os("TIDEGATE_FUZZ_SEED") {
        std::fs::write(file, [&[0], good.as_slice()].concat()).expect("a seed");
    }
    job
});

fn signature(job: &Value) -> Vec<u8> {
    let text = signed_text(|key| job["metadata"]["annotations"][key].as_str());
    let made = key().sign(SIGNATURE_NAMESPACE, HashAlg::Sha512, text.as_bytes());
    made.and_then(|made| Ok(made.encode_vec()?)).expect("a signature")
}

fn holds(policies: &PolicySet, job: &Value, signature: &str) -> bool {
    let mut job = job.clone();
    job["metadata"]["annotations"][SIGNATURE] = json!(signature);
    let (json, labels) = (job.to_string(), Labels::new());
    let facts = Facts::new(Fact::Known(&labels));
    let verdict =
        validate(policies, &Change::create("shop", "drop", &json), &facts, *common::NOW);
    assert_eq!(verdict.allowed(), verdict.message().is_empty());
    verdict.allowed()
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    let job = &*JOB;
    match choice % 3 {
        0 => held(&POLICIES, job, &BASE64_STANDARD.encode(bytes)),
        1 => held(&POLICIES, job, &String::from_utf8_lossy(bytes)),
        _ => {
            let signers = String::from_utf8_lossy(bytes);
            if let Ok(policies) = policies(&signers) {
                held(&policies, job, &BASE64_STANDARD.encode(signature(job)));
            }
        }
    }
});

/// A signature that holds does not hold for another ticket, approver, moment or digest.
fn held(policies: &PolicySet, job: &Value, signature: &str) {
    let _ = signer(signature);
    if !holds(policies, job, signature) {
        return;
    }
    for (field, value) in [
        ("approval-ticket", "DB-2"),
        ("approved-by", "bob@example.com"),
        ("approved-until", "2026-06-02T13:00:00Z"),
        ("approval-reason", "none"),
    ] {
        let mut other = job.clone();
        other["metadata"]["annotations"][format!("tidegate.dev/{field}")] = json!(value);
        assert!(!holds(policies, &other, signature), "it holds with another {field} too");
    }
}
