//! What detection costs: by the kind of object, by the size of a script, by the number of
//! containers, and beside a whole review of the same object.
//!
//! What is claimed is in `docs/performance.md`: times of one machine, and that the cost grows with
//! the size and no faster.

#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::allow_attributes,
    reason = "a benchmark ends by panicking, and calculates with what it measures"
)]

use divan::{Bencher, black_box, counter::BytesCount, counter::ItemsCount};
use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate::{
    decision::validate,
    detect::Detector,
    model::{Change, ChangeOperation, ConfigMaps, Fact, Facts, Labels, Object},
    policy::{PolicySet, built_in},
};

fn main() {
    divan::main();
}

const TYPICAL: &str = r#"set -euo pipefail
echo "Waiting for the database"
until pg_isready -h "$DB_HOST" -p "${DB_PORT:-5432}" -t 2; do
  echo "not yet"
  sleep 2
done
if [ "$SKIP" = "true" ]; then
  echo "skipped"
  exit 0
fi
export DATABASE_URL="postgres://$DB_USER:$DB_PASSWORD@$DB_HOST/app"
python manage.py migrate --noinput
python manage.py collectstatic --noinput
echo "done"
"#;

fn job(containers: &[Value]) -> String {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "task", "namespace": "default"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": containers}}},
    })
    .to_string()
}

fn with_script(text: &str) -> Value {
    json!({
        "name": "main",
        "image": "registry.example.org/team/app:1.2.3",
        "command": ["/bin/sh", "-c", text],
        "env": [
            {"name": "DB_HOST", "value": "db"},
            {"name": "DB_USER", "value": "app"},
            {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        ],
    })
}

/// A Deployment as most are: an image, some variables, nothing to run but that.
fn server() -> String {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "server", "namespace": "default"},
        "spec": {"template": {"spec": {"containers": [{
            "name": "server",
            "image": "registry.example.org/team/server:1.2.3",
            "env": [{"name": "PORT", "value": "8080"}, {"name": "LOG_LEVEL", "value": "info"}],
            "ports": [{"containerPort": 8080}],
        }]}}},
    })
    .to_string()
}

/// As [`server`], with arguments.
fn server_with_args() -> String {
    server()
        .replace(r#""ports""#, r#""args":["serve","--port=8080","--config","/etc/app"],"ports""#)
}

/// A Deployment of an ordinary application: a command, arguments, and variables of every kind.
fn application() -> String {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": "default"},
        "spec": {"template": {"spec": {"containers": [{
            "name": "shop",
            "image": "registry.example.org/team/shop:1.2.3",
            "command": ["/usr/bin/shop"],
            "args": ["serve", "--port=8080", "--config", "/etc/shop/config.yaml"],
            "env": [
                {"name": "LOG_LEVEL", "value": "info"},
                {"name": "DB_HOST", "value": "db"},
                {"name": "DB_URL", "value": "postgres://$(DB_HOST)/shop"},
                {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
            ],
            "ports": [{"containerPort": 8080}],
        }]}}},
    })
    .to_string()
}

fn detection(bencher: Bencher<'_, '_>, json: &str) {
    let object = Object::parse(json).unwrap();
    let detector = Detector::built_in();
    bencher.bench(|| detector.detect(black_box(&object), ConfigMaps::NONE));
}

fn review(bencher: Bencher<'_, '_>, json: &str) {
    let policies = PolicySet::new(vec![built_in()]);
    let labels = Labels::new();
    let facts = Facts::new(Fact::Known(&labels));
    let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
    let change = Change {
        operation: ChangeOperation::Create,
        namespace: "default",
        name: "task",
        subresource: "",
        user: "someone",
        object: Some(json),
        old_object: None,
    };
    bencher.bench(|| validate(&policies, black_box(&change), &facts, now));
}

const KINDS: [&str; 7] = [
    "image-alone",
    "arguments",
    "application",
    "direct-command",
    "typical-script",
    "sql-in-option",
    "sql-on-stdin",
];

fn object(kind: &str) -> String {
    match kind {
        "image-alone" => server(),
        "arguments" => server_with_args(),
        "application" => application(),
        "direct-command" => job(&[
            json!({"name": "main", "image": "app", "command": ["alembic", "upgrade", "head"]}),
        ]),
        "typical-script" => job(&[with_script(TYPICAL)]),
        "sql-in-option" => job(&[json!({
            "name": "main", "image": "postgres:17",
            "command": ["psql", "-c", "ALTER TABLE orders ADD COLUMN note text; CREATE INDEX CONCURRENTLY i ON orders (note)"],
        })]),
        _ => job(&[with_script(
            "psql <<SQL\nBEGIN;\nALTER TABLE a ADD COLUMN b int;\nCOMMIT;\nSQL\n",
        )]),
    }
}

#[divan::bench(args = KINDS)]
fn detect(bencher: Bencher<'_, '_>, kind: &str) {
    detection(bencher, &object(kind));
}

#[divan::bench(args = KINDS)]
fn whole_review(bencher: Bencher<'_, '_>, kind: &str) {
    review(bencher, &object(kind));
}

/// Scripts of different sizes, made of the typical one over and over.
#[divan::bench(args = [1, 4, 16, 64, 256, 1024])]
fn script_of_kib(bencher: Bencher<'_, '_>, kib: usize) {
    let size = kib * 1024;
    let text: String = TYPICAL.chars().cycle().take(size).collect();
    let json = job(&[with_script(&text)]);
    let object = Object::parse(&json).unwrap();
    let detector = Detector::built_in();
    bencher
        .counter(BytesCount::new(size))
        .bench(|| detector.detect(black_box(&object), ConfigMaps::NONE));
}

#[divan::bench(args = [1, 10, 100])]
fn containers(bencher: Bencher<'_, '_>, count: usize) {
    let all: Vec<Value> = (0..count).map(|_| with_script(TYPICAL)).collect();
    let json = job(&all);
    let object = Object::parse(&json).unwrap();
    let detector = Detector::built_in();
    bencher
        .counter(ItemsCount::new(count))
        .bench(|| detector.detect(black_box(&object), ConfigMaps::NONE));
}
