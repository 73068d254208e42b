//! An API server without a cluster: it keeps objects, lists them in pages, watches, and takes writes.
//!
//! It answers as the real one does as far as clients see it: items of lists of built-in kinds do not
//! say their kind, metadata can be asked for alone, a kind that is not installed is a 404, and a write
//! of an old version is a conflict.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State as Shared,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tidegate::cluster::Connection;
use tokio::{net::TcpListener, sync::watch};

type Objects = BTreeMap<(String, String), Value>;

/// A request that changed something, or tried to.
#[derive(Clone, Debug)]
pub struct Write {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub body: Value,
}

#[derive(Debug)]
struct State {
    /// Objects by collection, such as `/apis/batch/v1/jobs`.
    objects: Mutex<BTreeMap<String, Objects>>,
    /// Everything that ever changed: version, collection, event.
    events: Mutex<Vec<(u64, String, Value)>>,
    version: watch::Sender<u64>,
    serial: AtomicU64,
    down: AtomicBool,
    absent: Mutex<BTreeSet<String>>,
    forbidden: Mutex<BTreeSet<String>>,
    writes: Mutex<Vec<Write>>,
    lists: AtomicU64,
    /// Kinds by collection, as discovery tells them.
    kinds: Mutex<BTreeMap<String, String>>,
    /// Every request for a collection: method, path, query.
    requests: Mutex<Vec<(Method, String, String)>>,
    /// How long every answer takes, in milliseconds.
    delay: AtomicU64,
}

/// Kinds that every cluster has.
const BUILT_IN: [(&str, &str); 14] = [
    ("/api/v1/namespaces", "Namespace"),
    ("/api/v1/configmaps", "ConfigMap"),
    ("/api/v1/pods", "Pod"),
    ("/api/v1/podtemplates", "PodTemplate"),
    ("/api/v1/replicationcontrollers", "ReplicationController"),
    ("/apis/apps/v1/deployments", "Deployment"),
    ("/apis/apps/v1/statefulsets", "StatefulSet"),
    ("/apis/apps/v1/daemonsets", "DaemonSet"),
    ("/apis/apps/v1/replicasets", "ReplicaSet"),
    ("/apis/batch/v1/jobs", "Job"),
    ("/apis/batch/v1/cronjobs", "CronJob"),
    ("/apis/networking.k8s.io/v1/networkpolicies", "NetworkPolicy"),
    ("/apis/tidegate.dev/v1alpha1/migrationpolicies", "MigrationPolicy"),
    ("/apis/tidegate.dev/v1alpha1/migrationexceptions", "MigrationException"),
];

/// A cluster that a test fills and changes.
#[derive(Clone, Debug)]
pub struct FakeCluster {
    pub uri: String,
    state: Arc<State>,
}

/// What a path names.
struct Target {
    collection: String,
    namespace: Option<String>,
    name: Option<String>,
    is_status: bool,
}

impl Target {
    fn of(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let base = match *segments.first()? {
            "api" => 2,
            "apis" => 3,
            _ => return None,
        };
        let (base, rest) = segments.split_at_checked(base)?;
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let (plural, rest) = rest.split_first()?;
        Some(Self {
            collection: format!("/{}/{plural}", base.join("/")),
            namespace: namespace.map(str::to_owned),
            name: rest.first().map(|name| (*name).to_owned()),
            is_status: rest.get(1) == Some(&"status"),
        })
    }

    fn key(&self, name: &str) -> (String, String) {
        (self.namespace.clone().unwrap_or_default(), name.to_owned())
    }

    /// True for kinds that the API server serves itself, not from a definition.
    fn is_built_in(&self) -> bool {
        ["/api/", "/apis/apps/", "/apis/batch/"].iter().any(|own| self.collection.starts_with(own))
    }
}

impl FakeCluster {
    pub async fn start() -> Self {
        let state = Arc::new(State {
            objects: Mutex::default(),
            events: Mutex::default(),
            version: watch::channel(1).0,
            serial: AtomicU64::new(1),
            down: AtomicBool::new(false),
            absent: Mutex::default(),
            forbidden: Mutex::default(),
            writes: Mutex::default(),
            lists: AtomicU64::new(0),
            kinds: Mutex::new(
                BUILT_IN.map(|(path, kind)| (path.to_owned(), kind.to_owned())).into(),
            ),
            requests: Mutex::default(),
            delay: AtomicU64::new(0),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", socket.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(socket, router).await });
        Self { uri, state }
    }

    /// How to reach it.
    pub fn connection(&self) -> Connection {
        Connection::new(kube::Config::new(self.uri.parse().unwrap()))
    }

    /// Creates an object or replaces it; its kind is that of the collection.
    pub fn put(&self, collection: &str, object: Value) {
        self.state.put(collection, object);
    }

    /// Removes an object.
    pub fn delete(&self, collection: &str, namespace: &str, name: &str) {
        self.state.delete(collection, &(namespace.to_owned(), name.to_owned()));
    }

    /// An object as it is now.
    pub fn get(&self, collection: &str, namespace: &str, name: &str) -> Option<Value> {
        let objects = self.state.objects.lock().unwrap();
        objects.get(collection)?.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All objects of a collection.
    pub fn all(&self, collection: &str) -> Vec<Value> {
        let objects = self.state.objects.lock().unwrap();
        objects.get(collection).into_iter().flat_map(|all| all.values().cloned()).collect()
    }

    /// Whether it answers anything but errors; watches that are open end.
    pub fn set_down(&self, down: bool) {
        self.state.down.store(down, Ordering::Relaxed);
        self.state.version.send_modify(|_| {});
    }

    /// How long it takes to answer.
    pub fn set_slow(&self, delay: std::time::Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap();
        self.state.delay.store(delay, Ordering::Relaxed);
    }

    /// Whether the kind of a collection is installed.
    pub fn set_absent(&self, collection: &str, absent: bool) {
        let mut all = self.state.absent.lock().unwrap();
        if absent {
            all.insert(collection.to_owned())
        } else {
            all.remove(collection)
        };
    }

    /// Whether clients may use a collection.
    pub fn set_forbidden(&self, collection: &str, forbidden: bool) {
        let mut all = self.state.forbidden.lock().unwrap();
        if forbidden {
            all.insert(collection.to_owned())
        } else {
            all.remove(collection)
        };
    }

    /// Adds a kind to what discovery tells.
    pub fn install(&self, collection: &str, kind: &str) {
        let mut kinds = self.state.kinds.lock().unwrap();
        kinds.insert(collection.to_owned(), kind.to_owned());
    }

    /// What was asked for so far, beside discovery: method, path and query.
    pub fn requests(&self) -> Vec<(Method, String, String)> {
        self.state.requests.lock().unwrap().clone()
    }

    /// A kubeconfig that leads to it.
    pub fn kubeconfig(&self) -> String {
        json!({"apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.uri}}],
            "users": [{"name": "me", "user": {}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "me"}}]})
        .to_string()
    }

    /// What was written so far.
    pub fn writes(&self) -> Vec<Write> {
        self.state.writes.lock().unwrap().clone()
    }

    /// How many pages of lists were asked for.
    pub fn lists(&self) -> u64 {
        self.state.lists.load(Ordering::Relaxed)
    }
}

impl State {
    fn next(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn tell(&self, version: u64, collection: &str, kind: &str, object: &Value) {
        let event = json!({"type": kind, "object": object});
        self.events.lock().unwrap().push((version, collection.to_owned(), event));
        self.version.send_replace(version);
    }

    fn put(&self, collection: &str, mut object: Value) -> Value {
        let version = self.next();
        let meta = object["metadata"].as_object_mut().expect("metadata");
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("").to_owned();
        let key = (text(meta.get("namespace")), text(meta.get("name")));
        meta.insert("resourceVersion".to_owned(), json!(version.to_string()));
        meta.entry("uid").or_insert_with(|| json!(format!("uid-{version}")));
        let mut objects = self.objects.lock().unwrap();
        let before = objects.entry(collection.to_owned()).or_default().insert(key, object.clone());
        drop(objects);
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        self.tell(version, collection, kind, &object);
        object
    }

    fn delete(&self, collection: &str, key: &(String, String)) -> Option<Value> {
        let gone = self.objects.lock().unwrap().get_mut(collection)?.remove(key)?;
        self.tell(self.next(), collection, "DELETED", &gone);
        Some(gone)
    }

    /// What the API server says about its kinds, where the path asks for that.
    fn discovery(&self, path: &str) -> Option<Value> {
        let (absent, kinds) = (self.absent.lock().unwrap(), self.kinds.lock().unwrap());
        let there = kinds.iter().filter(|(collection, _)| !absent.contains(*collection));
        let there: Vec<_> =
            there.filter_map(|(path, kind)| Some((path.rsplit_once('/')?, kind))).collect();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        if segments == ["apis"] {
            let served: BTreeSet<_> =
                there.iter().filter_map(|((base, _), _)| base.strip_prefix("/apis/")).collect();
            let groups: Vec<_> = served
                .into_iter()
                .map(|served| {
                    let (group, version) = served.split_once('/').unwrap();
                    let version = json!({"groupVersion": served, "version": version});
                    json!({"name": group, "versions": [version], "preferredVersion": version})
                })
                .collect();
            return Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}));
        }
        if !matches!(segments[..], ["api", _] | ["apis", _, _]) {
            return None;
        }
        let base = format!("/{}", segments.join("/"));
        let own = there.iter().filter(|((own, _), _)| *own == base);
        let resources: Vec<_> = own
            .map(|((_, plural), kind)| {
                json!({"name": plural, "singularName": "", "namespaced": true, "kind": kind,
                    "verbs": ["get", "list", "watch", "create", "patch", "delete"]})
            })
            .collect();
        if resources.is_empty() {
            return None;
        }
        let version = segments[1..].join("/");
        Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version,
            "resources": resources}))
    }

    fn list(&self, target: &Target, query: &BTreeMap<String, String>, metadata: bool) -> Value {
        self.lists.fetch_add(1, Ordering::Relaxed);
        let objects = self.objects.lock().unwrap();
        let all = objects.get(&target.collection).into_iter().flatten();
        let wanted = all.filter(|((namespace, _), _)| {
            target.namespace.as_ref().is_none_or(|wanted| wanted == namespace)
        });
        // One equality, which is all that anybody here asks for.
        let selector =
            query.get("labelSelector").map(|text| text.replace("%2F", "/").replace("%3D", "="));
        let selector = selector.as_deref().and_then(|text| text.split_once('='));
        let wanted = wanted.filter(|(_, object)| {
            selector.is_none_or(|(key, value)| object["metadata"]["labels"][key] == value)
        });
        let number = |key: &str| query.get(key).and_then(|text| text.parse::<usize>().ok());
        let (from, limit) =
            (number("continue").unwrap_or(0), number("limit").unwrap_or(usize::MAX));
        let rest: Vec<_> = wanted.skip(from).map(|(_, object)| object).collect();
        let more = rest.len() > limit;
        let items: Vec<_> = rest
            .into_iter()
            .take(limit)
            .map(|object| {
                let mut item = view(object, metadata);
                if target.is_built_in() && !metadata {
                    let item = item.as_object_mut().unwrap();
                    item.remove("apiVersion");
                    item.remove("kind");
                }
                item
            })
            .collect();
        let version = self.serial.load(Ordering::Relaxed).to_string();
        let next = if more { (from + limit).to_string() } else { String::new() };
        json!({"apiVersion": "v1", "kind": "List",
            "metadata": {"resourceVersion": version, "continue": next}, "items": items})
    }

    fn watch(self: Arc<Self>, target: Target, from: u64, metadata: bool) -> Body {
        let changes = self.version.subscribe();
        let seed = (self, target, from, changes);
        let stream = futures_util::stream::unfold(seed, move |seed| async move {
            let (state, target, from, mut changes) = seed;
            loop {
                if state.down.load(Ordering::Relaxed) {
                    return None;
                }
                changes.mark_unchanged();
                let found = state.events.lock().unwrap().iter().find_map(|(version, of, event)| {
                    let namespace = event["object"]["metadata"]["namespace"].as_str();
                    let here = target.namespace.as_deref().is_none_or(|it| Some(it) == namespace);
                    let new = *version > from && *of == target.collection && here;
                    new.then(|| (*version, event.clone()))
                });
                if let Some((version, mut event)) = found {
                    event["object"] = view(&event["object"], metadata);
                    // The type comes first, as the real one writes it.
                    let line =
                        format!("{{\"type\":{},\"object\":{}}}\n", event["type"], event["object"]);
                    return Some((
                        Ok::<_, std::io::Error>(line),
                        (state, target, version, changes),
                    ));
                }
                if changes.changed().await.is_err() {
                    return None;
                }
            }
        });
        Body::from_stream(stream.boxed())
    }

    fn write(
        &self,
        method: &Method,
        target: &Target,
        headers: &HeaderMap,
        body: Value,
    ) -> Response {
        let name = target.name.clone();
        let current = name.as_ref().and_then(|name| {
            self.objects.lock().unwrap().get(&target.collection)?.get(&target.key(name)).cloned()
        });
        match (method, name, current) {
            (&Method::POST, None, _) => self.create(target, body),
            (&Method::PUT, Some(_), Some(current)) => {
                let (old, new) =
                    (&current["metadata"]["resourceVersion"], &body["metadata"]["resourceVersion"]);
                if new.is_string() && old != new {
                    return status(StatusCode::CONFLICT, "Conflict");
                }
                self.put(&target.collection, body).to_string().into_response()
            }
            (&Method::PATCH, Some(name), current) => {
                let kind = headers.get("content-type").and_then(|value| value.to_str().ok());
                let applies = kind.is_some_and(|kind| kind.contains("apply-patch"));
                // A status is of something that is there.
                let creates = applies && !target.is_status;
                let Some(mut object) = current.or_else(|| creates.then(|| json!({}))) else {
                    return status(StatusCode::NOT_FOUND, "NotFound");
                };
                let (old, new) =
                    (&object["metadata"]["resourceVersion"], &body["metadata"]["resourceVersion"]);
                if new.is_string() && old != new {
                    return status(StatusCode::CONFLICT, "Conflict");
                }
                let patch = if target.is_status { json!({"status": body["status"]}) } else { body };
                json_patch::merge(&mut object, &patch);
                object["metadata"]["name"] = json!(name);
                if let Some(namespace) = &target.namespace {
                    object["metadata"]["namespace"] = json!(namespace);
                }
                self.put(&target.collection, object).to_string().into_response()
            }
            (&Method::DELETE, Some(name), Some(_)) => {
                let gone = self.delete(&target.collection, &target.key(&name));
                gone.map_or_else(
                    || status(StatusCode::NOT_FOUND, "NotFound"),
                    |gone| gone.to_string().into_response(),
                )
            }
            (_, Some(_), None) => status(StatusCode::NOT_FOUND, "NotFound"),
            _ => status(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
        }
    }

    fn create(&self, target: &Target, mut object: Value) -> Response {
        if let Some(namespace) = &target.namespace {
            object["metadata"]["namespace"] = json!(namespace);
        }
        if object["metadata"]["name"].is_null() {
            let start = object["metadata"]["generateName"].as_str().unwrap_or_default().to_owned();
            object["metadata"]["name"] = json!(format!("{start}{}", self.next()));
        }
        let key = target.key(object["metadata"]["name"].as_str().unwrap());
        let taken = self.objects.lock().unwrap();
        if taken.get(&target.collection).is_some_and(|all| all.contains_key(&key)) {
            return status(StatusCode::CONFLICT, "AlreadyExists");
        }
        drop(taken);
        (StatusCode::CREATED, self.put(&target.collection, object).to_string()).into_response()
    }
}

/// An object, or its metadata alone.
fn view(object: &Value, metadata: bool) -> Value {
    if !metadata {
        return object.clone();
    }
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": object["metadata"]})
}

fn status(code: StatusCode, reason: &str) -> Response {
    let body = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason,
        "message": reason, "code": code.as_u16(), "metadata": {}});
    (code, [("content-type", "application/json")], body.to_string()).into_response()
}

async fn answer(
    Shared(state): Shared<Arc<State>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if state.down.load(Ordering::Relaxed) {
        return status(StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
    }
    let delay = state.delay.load(Ordering::Relaxed);
    tokio::time::sleep(std::time::Duration::from_millis(delay)).await;
    let query: BTreeMap<String, String> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    if let Some(told) = state.discovery(uri.path()).filter(|_| method == Method::GET) {
        return told.to_string().into_response();
    }
    let asked = (method.clone(), uri.path().to_owned(), uri.query().unwrap_or_default().to_owned());
    state.requests.lock().unwrap().push(asked);
    let Some(target) = Target::of(uri.path()) else {
        return status(StatusCode::NOT_FOUND, "NotFound");
    };
    if state.absent.lock().unwrap().contains(&target.collection) {
        return status(StatusCode::NOT_FOUND, "NotFound");
    }
    if state.forbidden.lock().unwrap().contains(&target.collection) {
        return status(StatusCode::FORBIDDEN, "Forbidden");
    }
    if method != Method::GET {
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        state.writes.lock().unwrap().push(Write {
            method: method.clone(),
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            body: body.clone(),
        });
        return state.write(&method, &target, &headers, body);
    }
    let accept = headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let metadata = accept.contains("as=PartialObjectMetadata");
    if let Some(name) = &target.name {
        let objects = state.objects.lock().unwrap();
        let found = objects.get(&target.collection).and_then(|all| all.get(&target.key(name)));
        return found.map_or_else(
            || status(StatusCode::NOT_FOUND, "NotFound"),
            |object| view(object, metadata).to_string().into_response(),
        );
    }
    if query.contains_key("watch") {
        let from = query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
        return state.watch(target, from, metadata).into_response();
    }
    state.list(&target, &query, metadata).to_string().into_response()
}
