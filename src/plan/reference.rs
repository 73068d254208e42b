//! What Pods refer to by name, and which objects stand for those names.

use serde::Deserialize;

use crate::model::{MountedSource, Object, PodTemplate};

/// A kind that Pods refer to by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Referenced {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
    /// A `ServiceAccount`.
    ServiceAccount,
    /// A PersistentVolumeClaim.
    PersistentVolumeClaim,
}

impl Referenced {
    /// The kind's name.
    pub fn kind(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::ServiceAccount => "ServiceAccount",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
        }
    }
}

/// One name that a Pod template mentions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference<'r> {
    /// What is meant.
    pub kind: Referenced,
    /// Its name, in the namespace of the Pod.
    pub name: &'r str,
    /// The field that mentions it.
    pub path: String,
    /// True when the Pod starts without it.
    pub optional: bool,
}

/// Everything that the Pods of a template refer to, in the order of the fields.
pub fn references<'t>(template: &'t PodTemplate<'_>) -> Vec<Reference<'t>> {
    let mut list = Vec::new();
    let spec = &template.spec;
    let dot = if template.spec_path.is_empty() { "" } else { "." };
    let at = |field: &str| format!("{}{dot}{field}", template.spec_path);
    if let Some(name) = spec.service_account_name.as_deref().filter(|name| !name.is_empty()) {
        let path = at("serviceAccountName");
        list.push(Reference { kind: Referenced::ServiceAccount, name, path, optional: false });
    }
    for (index, secret) in spec.image_pull_secrets.iter().enumerate() {
        let path = at(&format!("imagePullSecrets[{index}]"));
        // The kubelet tries without those that are not there.
        let name = secret.name.as_str();
        list.push(Reference { kind: Referenced::Secret, name, path, optional: true });
    }
    for (index, volume) in spec.volumes.iter().enumerate() {
        for (source, optional) in volume.references() {
            let path = at(&format!("volumes[{index}]"));
            list.push(mounted(source, path, optional));
        }
    }
    for container in &template.containers {
        for (index, source) in container.env_from.iter().enumerate() {
            if let Some(mount) = source.source() {
                let path = format!("{}.envFrom[{index}]", container.path);
                list.push(mounted(mount, path, source.is_optional()));
            }
        }
        for (index, variable) in container.env.iter().enumerate() {
            let Some(from) = &variable.value_from else { continue };
            let keys = [
                (Referenced::ConfigMap, &from.config_map_key_ref),
                (Referenced::Secret, &from.secret_key_ref),
            ];
            for (kind, key) in keys {
                let Some(key) = key else { continue };
                let path = format!("{}.env[{index}]", container.path);
                let name = key.name.as_str();
                list.push(Reference { kind, name, path, optional: key.optional });
            }
        }
    }
    list.retain(|reference| !reference.name.is_empty());
    list
}

fn mounted(source: MountedSource<'_>, path: String, optional: bool) -> Reference<'_> {
    let (kind, name) = match source {
        MountedSource::ConfigMap(name) => (Referenced::ConfigMap, name),
        MountedSource::Secret(name) => (Referenced::Secret, name),
        MountedSource::PersistentVolumeClaim(name) => (Referenced::PersistentVolumeClaim, name),
    };
    Reference { kind, name, path, optional }
}

/// What exists once an object is applied: itself, or the Secret that an operator makes from it.
///
/// **Sources:** the API references of External Secrets, Sealed Secrets and cert-manager.
pub fn provided(object: &Object<'_>) -> Option<(Referenced, String)> {
    let name = object.metadata.name.as_str();
    let gvk = object.gvk();
    let secret = |field: &[&str]| {
        let made = text_at(object.spec, field).filter(|made| !made.is_empty());
        Some((Referenced::Secret, made.unwrap_or_else(|| name.to_owned())))
    };
    match (gvk.group, gvk.kind) {
        ("", "ConfigMap") => Some((Referenced::ConfigMap, name.to_owned())),
        ("", "Secret") => Some((Referenced::Secret, name.to_owned())),
        ("", "ServiceAccount") => Some((Referenced::ServiceAccount, name.to_owned())),
        ("", "PersistentVolumeClaim") => Some((Referenced::PersistentVolumeClaim, name.to_owned())),
        ("external-secrets.io", "ExternalSecret") => secret(&["target", "name"]),
        ("bitnami.com", "SealedSecret") => secret(&["template", "metadata", "name"]),
        ("cert-manager.io", "Certificate") => secret(&["secretName"]),
        _ => None,
    }
}

/// The text at a path of a JSON object; none when it is not there.
fn text_at(json: &str, path: &[&str]) -> Option<String> {
    let mut value = serde_json::Value::deserialize(&mut serde_json::Deserializer::from_str(json))
        .ok()
        .filter(|_| !json.is_empty())?;
    for key in path {
        value = value.get_mut(*key)?.take();
    }
    value.as_str().map(str::to_owned)
}
