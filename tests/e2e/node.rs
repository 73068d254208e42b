//! A node: what a kubelet does for Pods, with processes of this host.
//!
//! Pods of tidegate are bound to it, started with the arguments, volumes, variables and account that
//! they name, taken for ready when they say so, and stopped with SIGTERM; their endpoints follow half
//! a second late, as in a real cluster. Other Pods wait for ever.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{ConfigMap, Container, Pod, Secret, Service, ServiceAccount},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::{
    cluster::Cluster,
    process::Process,
    tidegate::{PROGRAM, addresses, get},
};

/// How often it looks.
const TICK: Duration = Duration::from_millis(100);
/// How much later than the Pod the balancer hears that it goes.
const LATE: Duration = Duration::from_millis(500);
/// Pods that it runs.
const LABEL: &str = "app.kubernetes.io/name=tidegate";

/// A node. Its Pods end when it is dropped.
#[derive(Debug)]
pub(crate) struct Node {
    stop: Arc<AtomicBool>,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    pods: BTreeMap<String, Running>,
    /// Processes that ended when they were told to.
    ended: usize,
    /// What should not have happened.
    faults: Vec<String>,
}

#[derive(Debug)]
struct Running {
    namespace: String,
    process: Process,
    webhook: Option<SocketAddr>,
    health: Option<SocketAddr>,
    ready: bool,
    /// When it was told to end, and how long it may take.
    told: Option<(Instant, Duration)>,
    unready: bool,
}

impl Node {
    /// Starts to look after the Pods of a cluster.
    pub(crate) fn start(cluster: Arc<Cluster>) -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let client = runtime.block_on(cluster.client());
        let address = own_address()?;
        let (stop, state) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<State>>::default());
        let (ends, kept) = (Arc::clone(&stop), Arc::clone(&state));
        let thread = thread::spawn(move || {
            let kubelet = Kubelet { runtime, client, cluster, address };
            while !ends.load(Ordering::Relaxed) {
                if let Err(error) = kubelet.look(&kept) {
                    kept.lock().unwrap().faults.push(error.to_string());
                }
                thread::sleep(TICK);
            }
        });
        Ok(Self { stop, state, thread: Some(thread) })
    }

    /// An error while a Pod is going or is not ready yet.
    pub(crate) fn settled(&self) -> Result<(), String> {
        let state = self.state.lock().unwrap();
        match state.pods.iter().find(|(_, pod)| pod.told.is_some() || !pod.ready) {
            Some((name, pod)) => Err(format!("{name}: ready {}, told {:?}", pod.ready, pod.told)),
            None => Ok(()),
        }
    }

    /// Asserts that every process ended well and in time, and only when it was told to. How many did.
    pub(crate) fn ended_well(&self) -> usize {
        let state = self.state.lock().unwrap();
        assert_eq!(state.faults, [""; 0]);
        state.ended
    }

    /// The ends of all logs.
    pub(crate) fn logs(&self) -> String {
        let state = self.state.lock().unwrap();
        let logs: Vec<String> = state.pods.values().map(|pod| pod.process.tail()).collect();
        format!("{:?}\n{}", state.faults, logs.join("\n"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say that the faults do not.
            drop(thread.join());
        }
    }
}

/// An address of this host that an `EndpointSlice` may name: no loopback. Nothing is sent.
fn own_address() -> Result<IpAddr, String> {
    let find = || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect("198.51.100.1:9")?;
        Ok::<_, std::io::Error>(socket.local_addr()?.ip())
    };
    find().map_err(|error| format!("this host has no address but loopback: {error}"))
}

struct Kubelet {
    runtime: Runtime,
    client: Client,
    cluster: Arc<Cluster>,
    address: IpAddr,
}

impl Kubelet {
    fn look(&self, state: &Mutex<State>) -> kube::Result<()> {
        let api = Api::<Pod>::all(self.client.clone());
        let pods = self.runtime.block_on(api.list(&ListParams::default().labels(LABEL)))?;
        let mut state = state.lock().unwrap();
        for pod in &pods {
            let goes = pod.metadata.deletion_timestamp.is_some();
            if !state.pods.contains_key(&pod.name_any()) && !goes {
                // What it mounts may not be there yet.
                if let Some(running) = self.start(pod)? {
                    state.pods.insert(pod.name_any(), running);
                }
            }
        }
        let mut over = Vec::new();
        let State { pods: all, faults, ended } = &mut *state;
        for (name, running) in all.iter_mut() {
            let pod = pods.iter().find(|pod| pod.name_any() == *name);
            if self.tend(name, pod, running, faults)? {
                over.push(name.clone());
            }
        }
        for name in over {
            if all.remove(&name).is_some_and(|pod| pod.told.is_some()) {
                *ended += 1;
            }
        }
        Ok(())
    }

    /// One turn of one Pod; true when it is over.
    fn tend(
        &self,
        name: &str,
        pod: Option<&Pod>,
        running: &mut Running,
        faults: &mut Vec<String>,
    ) -> kube::Result<bool> {
        if let Some(status) = running.process.ended() {
            match running.told {
                None => faults.push(format!("{name} ended: {}", running.process.tail())),
                Some((since, limit)) if !status.success() || since.elapsed() > limit => {
                    faults.push(format!("{name}: {status} after {:?}", since.elapsed()));
                }
                Some(_) => {}
            }
            self.gone(name, running)?;
            return Ok(true);
        }
        let deleted = pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some());
        if deleted && running.told.is_none() {
            let seconds = pod.and_then(|pod| pod.metadata.deletion_grace_period_seconds);
            let grace = Duration::from_secs(seconds.unwrap_or(30).unsigned_abs());
            running.process.ask_to_end();
            running.told = Some((Instant::now(), grace));
        }
        if running.told.is_some_and(|(since, _)| since.elapsed() > LATE) && !running.unready {
            running.unready = true;
            self.publish(name, running)?;
        }
        if !running.ready && running.told.is_none() {
            if running.health.is_none() {
                (running.webhook, running.health) = addresses(&running.process.log()).unzip();
            }
            if running.health.is_some_and(|health| get(health, "/readyz").is_ok()) {
                running.ready = true;
                self.say_ready(name, running)?;
                self.publish(name, running)?;
            }
        }
        Ok(false)
    }

    /// Binds a Pod and starts its process; none when something that it needs is not there yet.
    fn start(&self, pod: &Pod) -> kube::Result<Option<Running>> {
        let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
        let spec = pod.spec.clone().unwrap_or_default();
        let folder = self.cluster.folder().join(&name);
        let Some(mounted) = self.mount(pod, &folder)? else { return Ok(None) };
        let account = spec.service_account_name.as_deref().unwrap_or("default");
        let Some(kubeconfig) = self.log_in(&namespace, account, &folder)? else { return Ok(None) };
        if spec.node_name.is_none() {
            self.bind(&namespace, &name)?;
        }
        let container = &spec.containers[0];
        let mut command = Command::new(PROGRAM);
        for arg in container.args.iter().flatten() {
            command.arg(self.translated(arg, container, &mounted));
        }
        command.env("KUBECONFIG", kubeconfig).env("NO_PROXY", "*");
        for variable in container.env.iter().flatten() {
            let field = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
            let value = match field.map(|field| field.field_path.as_str()) {
                Some("metadata.name") => name.clone(),
                Some("metadata.namespace") => namespace.clone(),
                _ => variable.value.clone().unwrap_or_default(),
            };
            command.env(&variable.name, value);
        }
        let process = Process::start(name, self.cluster.folder(), &mut command);
        let process = process.unwrap_or_else(|error| panic!("{error}"));
        Ok(Some(Running {
            namespace,
            process,
            webhook: None,
            health: None,
            ready: false,
            told: None,
            unready: false,
        }))
    }

    /// An argument as it has to be on this host: its address, free ports, and folders for mounts.
    fn translated(
        &self,
        arg: &str,
        container: &Container,
        mounted: &BTreeMap<String, PathBuf>,
    ) -> String {
        if arg.starts_with("--listen=") {
            return format!("--listen={}:0", self.address);
        }
        if arg.starts_with("--metrics-listen=") {
            return "--metrics-listen=127.0.0.1:0".to_owned();
        }
        for mount in container.volume_mounts.iter().flatten() {
            if let (true, Some(folder)) =
                (arg.contains(&mount.mount_path), mounted.get(&mount.name))
            {
                return arg.replace(&mount.mount_path, &folder.display().to_string());
            }
        }
        arg.to_owned()
    }

    /// Writes the files of its volumes.
    fn mount(&self, pod: &Pod, folder: &Path) -> kube::Result<Option<BTreeMap<String, PathBuf>>> {
        let namespace = pod.namespace().unwrap_or_default();
        let mut mounted = BTreeMap::new();
        for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
            let mut files = BTreeMap::<String, Vec<u8>>::new();
            if let Some(secret) = &volume.secret {
                let api = Api::<Secret>::namespaced(self.client.clone(), &namespace);
                let name = secret.secret_name.as_deref().unwrap_or_default();
                let Some(found) = self.runtime.block_on(api.get_opt(name))? else {
                    return Ok(None);
                };
                files.extend(found.data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0)));
            } else if let Some(map) = &volume.config_map {
                let api = Api::<ConfigMap>::namespaced(self.client.clone(), &namespace);
                let Some(found) = self.runtime.block_on(api.get_opt(&map.name))? else {
                    return Ok(None);
                };
                files.extend(
                    found.data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes())),
                );
            }
            let folder = folder.join(&volume.name);
            fs::create_dir_all(&folder).unwrap();
            for (file, bytes) in files {
                fs::write(folder.join(file), bytes).unwrap();
            }
            mounted.insert(volume.name.clone(), folder);
        }
        Ok(Some(mounted))
    }

    /// A configuration with a token of the Pod's account.
    fn log_in(
        &self,
        namespace: &str,
        account: &str,
        folder: &Path,
    ) -> kube::Result<Option<PathBuf>> {
        let api = Api::<ServiceAccount>::namespaced(self.client.clone(), namespace);
        let asked = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(3_600),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let create = PostParams::default();
        let made = api.create_token_request(account, &create, &asked);
        let token = match self.runtime.block_on(made) {
            Ok(made) => made.status.map(|status| status.token).unwrap_or_default(),
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
            Err(error) => return Err(error),
        };
        let admin = fs::read_to_string(self.cluster.kubeconfig()).unwrap();
        let mut config: Value = serde_json::from_str(&admin).unwrap();
        config["users"][0]["user"] = json!({"token": token});
        fs::create_dir_all(folder).unwrap();
        let path = folder.join("kubeconfig");
        fs::write(&path, config.to_string()).unwrap();
        Ok(Some(path))
    }

    fn bind(&self, namespace: &str, name: &str) -> kube::Result<()> {
        let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": "host"}});
        let create = PostParams::default();
        let bound = api.create_subresource("binding", name, &create, &binding);
        self.runtime.block_on(bound).map(|_: Value| ())
    }

    fn say_ready(&self, name: &str, running: &Running) -> kube::Result<()> {
        let api = Api::<Pod>::namespaced(self.client.clone(), &running.namespace);
        let is = |kind: &str| json!({"type": kind, "status": "True"});
        let status = json!({"status": {"phase": "Running",
            "conditions": [is("PodScheduled"), is("Initialized"), is("ContainersReady"), is("Ready")]}});
        let patch = Patch::Merge(status);
        let params = PatchParams::default();
        let said = api.patch_status(name, &params, &patch);
        self.runtime.block_on(said).map(drop)
    }

    /// Writes the endpoint of a Pod for each Service that selects it.
    fn publish(&self, name: &str, running: &Running) -> kube::Result<()> {
        let Running { namespace, webhook: Some(webhook), unready, .. } = running else {
            return Ok(());
        };
        let pods = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let Some(pod) = self.runtime.block_on(pods.get_opt(name))? else { return Ok(()) };
        let services = Api::<Service>::namespaced(self.client.clone(), namespace);
        let slices = Api::<EndpointSlice>::namespaced(self.client.clone(), namespace);
        for service in self.runtime.block_on(services.list(&ListParams::default()))? {
            let selector = service.spec.clone().and_then(|spec| spec.selector).unwrap_or_default();
            let selects = selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value));
            if selector.is_empty() || !selects {
                continue;
            }
            let slice = json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {"name": name, "labels": {
                    "kubernetes.io/service-name": service.name_any(),
                    "endpointslice.kubernetes.io/managed-by": "node.e2e"}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [webhook.ip().to_string()], "conditions": {
                    "ready": !unready, "serving": true, "terminating": unready}}],
                "ports": [{"name": "webhook", "port": webhook.port(), "protocol": "TCP"}],
            });
            let apply = PatchParams::apply("node.e2e").force();
            self.runtime.block_on(slices.patch(name, &apply, &Patch::Apply(slice)))?;
        }
        Ok(())
    }

    /// Takes the endpoint and the Pod away.
    fn gone(&self, name: &str, running: &Running) -> kube::Result<()> {
        let slices = Api::<EndpointSlice>::namespaced(self.client.clone(), &running.namespace);
        let pods = Api::<Pod>::namespaced(self.client.clone(), &running.namespace);
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        let slice = self.runtime.block_on(slices.delete(name, &now)).map(drop);
        let pod = self.runtime.block_on(pods.delete(name, &now)).map(drop);
        for deleted in [slice, pod] {
            match deleted {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                other => other?,
            }
        }
        Ok(())
    }
}
