//! What the kernel and the server say about the process.

use std::{fs, process::Command};

use crate::{
    fake_cluster::FakeCluster,
    program::{OTHER, Program, tidegate},
    support::{Folder, metric},
};

/// True when the program can be asked to be fast: it is a release build, as any other than our own is.
pub(crate) fn is_optimised() -> bool {
    !cfg!(debug_assertions) || std::env::var_os(OTHER).is_some()
}

impl Program {
    fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }

    /// A line of `/proc/PID/status`, such as `VmRSS` in KiB or `Threads`.
    pub(crate) fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Resident memory in MiB.
    pub(crate) fn resident(&self) -> f64 {
        self.status("VmRSS") as f64 / 1024.0
    }

    /// Processor time that it has used, in seconds, to a hundredth.
    pub(crate) fn processor(&self) -> f64 {
        let stat = fs::read_to_string(self.proc("stat")).unwrap();
        // The name of the program, in brackets, may hold anything.
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        let ticks = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
        ticks.sum::<u64>() as f64 / 100.0
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// One series of the server's metrics.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        metric(&self.get("/metrics")?, series)
    }

    /// All series of a name, added up.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let text = self.get("/metrics").unwrap();
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            (rest.starts_with('{') || rest.starts_with(' '))
                .then(|| rest.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        });
        values.sum()
    }

    /// The share of reviews that took no longer than a bucket of the histogram, in seconds.
    pub(crate) fn share_within(&self, seconds: &str) -> f64 {
        let text = self.get("/metrics").unwrap();
        let sum = |prefix: &str| -> f64 {
            let lines = text.lines().filter(|line| line.starts_with(prefix));
            lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
        };
        sum(&format!("tidegate_review_duration_seconds_bucket{{le=\"{seconds}\""))
            / sum("tidegate_review_duration_seconds_count")
    }

    /// True when the server is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.get("/readyz").is_some_and(|text| text.starts_with("HTTP/1.1 200"))
    }
}

/// A server that follows this cluster. The folder holds its kubeconfig.
pub(crate) fn following(
    name: &str,
    cluster: &FakeCluster,
    arguments: &[&str],
) -> (Program, Folder) {
    let folder = Folder::new(&format!("{name}-kube"));
    let config = format!(
        r#"{{"apiVersion":"v1","kind":"Config","current-context":"c",
        "clusters":[{{"name":"c","cluster":{{"server":"{}"}}}}],
        "users":[{{"name":"u","user":{{}}}}],
        "contexts":[{{"name":"c","context":{{"cluster":"c","user":"u"}}}}]}}"#,
        cluster.uri
    );
    let config = folder.write("kubeconfig", config);
    let mut command: Command = tidegate();
    command.args(["serve", "--kube", "on"]).args(arguments).env("KUBECONFIG", config);
    command.env_remove("KUBERNETES_SERVICE_HOST").env_remove("POD_NAMESPACE");
    (Program::run(name, command), folder)
}
