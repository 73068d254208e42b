//! How the servers are started, as their Deployment says.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Container, PodSpec},
};

/// What the Deployment says; nothing where it cannot be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Started {
    args: Vec<String>,
    pod: PodSpec,
}

impl Started {
    /// Of the container that serves.
    pub(super) fn of(deployment: Deployment) -> Self {
        let pod = deployment.spec.template.spec.unwrap_or_default();
        let serves = |container: &&Container| {
            container.args.iter().flatten().next().is_some_and(|arg| arg == "serve")
        };
        let args = pod.containers.iter().find(serves).and_then(|it| it.args.clone());
        Self { args: args.unwrap_or_default(), pod }
    }

    /// The value of a flag.
    fn flag(&self, flag: &str) -> Option<&str> {
        let mut args = self.args.iter();
        while let Some(arg) = args.next() {
            match arg.split_once('=') {
                Some((name, value)) if name == flag => return Some(value),
                None if arg == flag => return args.next().map(String::as_str),
                _ => {}
            }
        }
        None
    }

    /// True where they keep their own certificate.
    pub(super) fn keeps_certificate(&self) -> bool {
        self.flag("--tls-secret").is_some()
    }

    /// True where they scan and report.
    pub(super) fn reports(&self) -> bool {
        self.flag("--reports") == Some("on")
    }

    /// The Secret that their certificate is in.
    pub(super) fn secret(&self) -> Option<&str> {
        if let Some(secret) = self.flag("--tls-secret") {
            return Some(secret);
        }
        let folder = self.flag("--tls-dir")?;
        let mounts = self.pod.containers.iter().flat_map(|it| it.volume_mounts.iter().flatten());
        let volume = mounts.into_iter().find(|mount| mount.mount_path == folder)?;
        let volumes = self.pod.volumes.iter().flatten();
        let volume = volumes.into_iter().find(|it| it.name == volume.name)?;
        volume.secret.as_ref()?.secret_name.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(args: &[&str]) -> Started {
        let deployment = serde_json::json!({"spec": {"selector": {}, "template": {"spec": {
            "containers": [
                {"name": "proxy", "args": ["--tls-secret=proxy"]},
                {"name": "tidegate", "args": args, "volumeMounts": [{"name": "tls", "mountPath": "/tls"}]}],
            "volumes": [{"name": "tls", "secret": {"secretName": "mine"}}]}}}});
        Started::of(serde_json::from_value(deployment).unwrap())
    }

    #[test]
    fn the_secret_is_the_one_that_is_kept_or_mounted() {
        let kept = started(&["serve", "--tls-secret", "own", "--reports=on"]);
        assert_eq!(
            (kept.secret(), kept.keeps_certificate(), kept.reports()),
            (Some("own"), true, true)
        );
        let mounted = started(&["serve", "--tls-dir=/tls", "--reports=auto"]);
        assert_eq!(
            (mounted.secret(), mounted.keeps_certificate(), mounted.reports()),
            (Some("mine"), false, false)
        );
        assert_eq!(started(&["serve", "--tls-dir=/other"]).secret(), None);
        assert_eq!(Started::default().secret(), None);
    }
}
