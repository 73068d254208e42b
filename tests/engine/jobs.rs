//! Arbitrary Jobs, as a file in Git might hold them.

use proptest::{collection::vec, option, prelude::*};
use serde_json::{Map, Value, json};

fn object(entries: Vec<(&'static str, Option<Value>)>) -> Value {
    let present = entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

fn image_and_command() -> impl Strategy<Value = (Value, Option<Value>, Option<Value>)> {
    prop_oneof![
        Just((json!("flyway/flyway:11"), None, Some(json!(["migrate"])))),
        Just((json!("flyway/flyway:11"), None, Some(json!(["clean", "migrate"])))),
        Just((json!("shop:1"), Some(json!(["bundle", "exec", "rails", "db:migrate"])), None)),
        Just((json!("shop:1"), Some(json!(["sh", "-c"])), Some(json!(["alembic upgrade head"])))),
        Just((json!("postgres:16"), Some(json!(["pg_dump", "app"])), None)),
        Just((
            json!("postgres:16"),
            Some(json!(["psql"])),
            Some(json!(["-c", "DROP TABLE orders"]))
        )),
        Just((json!("busybox:1.36"), Some(json!(["true"])), None)),
    ]
}

fn security() -> impl Strategy<Value = Option<Value>> {
    option::of(
        (
            option::of(any::<bool>()),
            option::of(prop_oneof![Just(0), Just(1000)]),
            option::of(any::<bool>()),
            option::of(any::<bool>()),
            option::of(prop_oneof![
                Just(json!({})),
                Just(json!({"add": ["NET_ADMIN"]})),
                Just(json!({"add": ["SYS_ADMIN"], "drop": []})),
            ]),
        )
            .prop_map(|(non_root, user, privileged, escalation, capabilities)| {
                object(vec![
                    ("runAsNonRoot", non_root.map(Value::from)),
                    ("runAsUser", user.map(Value::from)),
                    ("privileged", privileged.map(Value::from)),
                    ("allowPrivilegeEscalation", escalation.map(Value::from)),
                    ("capabilities", capabilities),
                ])
            }),
    )
}

fn amounts() -> impl Strategy<Value = Option<Value>> {
    let cpu = option::of(prop_oneof![Just(json!("250m")), Just(json!(2)), Just(json!("4"))]);
    let memory = option::of(prop_oneof![Just(json!("64Mi")), Just(json!("8Gi"))]);
    option::of(
        (cpu, memory).prop_map(|(cpu, memory)| object(vec![("cpu", cpu), ("memory", memory)])),
    )
}

fn resources() -> impl Strategy<Value = Option<Value>> {
    option::of(
        (amounts(), amounts()).prop_map(|(requests, limits)| {
            object(vec![("requests", requests), ("limits", limits)])
        }),
    )
}

fn env() -> impl Strategy<Value = Option<Value>> {
    option::of(vec(
        prop_oneof![
            Just(json!({"name": "MODE", "value": "fast"})),
            Just(json!({"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}})),
            Just(json!({"name": "URL", "valueFrom": {"secretKeyRef": {"name": "db", "key": "url"}}})),
        ],
        0..3,
    )
    .prop_map(Value::from))
}

fn container(name: &'static str) -> impl Strategy<Value = Value> {
    (image_and_command(), security(), resources(), env()).prop_map(
        move |((image, command, args), security, resources, env)| {
            object(vec![
                ("name", Some(json!(name))),
                ("image", Some(image)),
                ("command", command),
                ("args", args),
                ("env", env),
                ("securityContext", security),
                ("resources", resources),
            ])
        },
    )
}

fn annotations() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        Just(Some(json!({}))),
        Just(Some(json!({"argocd.argoproj.io/hook": "PreSync"}))),
        Just(Some(json!({"helm.sh/hook": "pre-install,pre-upgrade", "a/b~c": "d"}))),
    ]
}

fn labels() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        Just(Some(json!({}))),
        Just(Some(json!({"app": "shop", "tidegate.dev/tool": "mine"}))),
    ]
}

/// Jobs of one or two containers and up to one initContainer, with everything that mutation could
/// fill in present, absent or empty.
pub(super) fn job() -> impl Strategy<Value = Value> {
    let template_metadata = prop_oneof![
        Just(None),
        Just(Some(json!({}))),
        labels().prop_map(|labels| Some(object(vec![("labels", labels)]))),
    ];
    let pod = (
        vec(container("main"), 1..3),
        option::of(vec(container("init"), 0..2)),
        security().prop_map(|security| {
            // A Pod's context has no such fields.
            security.map(|mut security| {
                for field in ["privileged", "allowPrivilegeEscalation", "capabilities"] {
                    security.as_object_mut().unwrap().remove(field);
                }
                security
            })
        }),
        option::of(Just(json!("migrator"))),
    );
    let deadline = option::of(prop_oneof![Just(json!(60)), Just(json!(999_999))]);
    (annotations(), labels(), template_metadata, pod, deadline).prop_map(
        |(
            annotations,
            labels,
            template_metadata,
            (containers, init, security, account),
            deadline,
        )| {
            let spec = object(vec![
                ("restartPolicy", Some(json!("Never"))),
                ("containers", Some(containers.into())),
                ("initContainers", init.map(Value::from)),
                ("securityContext", security),
                ("serviceAccountName", account),
            ]);
            object(vec![
                ("apiVersion", Some(json!("batch/v1"))),
                ("kind", Some(json!("Job"))),
                (
                    "metadata",
                    Some(object(vec![
                        ("name", Some(json!("schema"))),
                        ("annotations", annotations),
                        ("labels", labels),
                    ])),
                ),
                (
                    "spec",
                    Some(object(vec![
                        ("activeDeadlineSeconds", deadline),
                        (
                            "template",
                            Some(object(vec![
                                ("metadata", template_metadata),
                                ("spec", Some(spec)),
                            ])),
                        ),
                    ])),
                ),
            ])
        },
    )
}
