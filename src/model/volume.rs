//! Volumes of a Pod, as far as they show ConfigMaps, Secrets and claims.

use serde::Deserialize;

use super::{
    ConfigMaps, Text,
    pod::{NamedSource, null_is_default},
};

/// A volume of a Pod.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume<'a> {
    /// Its name, by which containers mount it.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub name: Text<'a>,
    #[serde(borrow)]
    config_map: Option<ConfigMapSource<'a>>,
    #[serde(borrow)]
    secret: Option<SecretSource<'a>>,
    #[serde(borrow)]
    persistent_volume_claim: Option<ClaimSource<'a>>,
    #[serde(borrow)]
    projected: Option<Projected<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigMapSource<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    name: Text<'a>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    items: Vec<KeyToPath<'a>>,
    #[serde(deserialize_with = "null_is_default")]
    optional: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct KeyToPath<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    key: Text<'a>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    path: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecretSource<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    secret_name: Text<'a>,
    #[serde(deserialize_with = "null_is_default")]
    optional: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSource<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    claim_name: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Projected<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    sources: Vec<ProjectedSource<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ProjectedSource<'a> {
    #[serde(borrow)]
    config_map: Option<ConfigMapSource<'a>>,
    #[serde(borrow)]
    secret: Option<NamedSource<'a>>,
    service_account_token: Option<serde::de::IgnoredAny>,
}

/// What a volume takes its content from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MountedSource<'a> {
    /// A ConfigMap, by name.
    ConfigMap(&'a str),
    /// A Secret, by name.
    Secret(&'a str),
    /// A PersistentVolumeClaim, by name.
    PersistentVolumeClaim(&'a str),
}

impl Volume<'_> {
    /// The objects whose content this volume shows.
    ///
    /// The volume that the API server itself adds to every Pod for its token, with the cluster's
    /// public CA ConfigMaps in it, is not one of them: it says nothing about the workload.
    pub fn sources(&self) -> Vec<MountedSource<'_>> {
        self.references().into_iter().map(|(source, _)| source).collect()
    }

    /// The same, each with whether the Pod starts without it.
    pub fn references(&self) -> Vec<(MountedSource<'_>, bool)> {
        let mut sources = Vec::new();
        if let Some(source) = &self.config_map {
            sources.push((MountedSource::ConfigMap(&source.name), source.optional));
        }
        if let Some(source) = &self.secret {
            sources.push((MountedSource::Secret(&source.secret_name), source.optional));
        }
        if let Some(source) = &self.persistent_volume_claim {
            sources.push((MountedSource::PersistentVolumeClaim(&source.claim_name), false));
        }
        for source in self.projected.iter().flat_map(|projected| &projected.sources) {
            if let Some(map) = &source.config_map
                && !matches!(map.name.as_str(), "kube-root-ca.crt" | "openshift-service-ca.crt")
            {
                sources.push((MountedSource::ConfigMap(&map.name), map.optional));
            }
            if let Some(secret) = &source.secret {
                sources.push((MountedSource::Secret(&secret.name), secret.optional));
            }
        }
        sources
    }

    /// The files of the volume, by their paths in it, as far as ConfigMaps in reach show them, and
    /// whether these are all: what comes from anything else than ConfigMaps, from one that is not
    /// in reach, or is no text, is left out.
    pub fn files<'s>(&'s self, maps: ConfigMaps<'s>) -> (Vec<VolumeFile<'s>>, bool) {
        let mut files = Vec::new();
        let complete = match (&self.config_map, &self.projected) {
            (Some(source), _) => source.files(maps, &mut files),
            (None, Some(projected)) => projected.sources.iter().fold(true, |complete, source| {
                let map = source.config_map.as_ref();
                map.is_some_and(|map| map.files(maps, &mut files)) && complete
            }),
            (None, None) => false,
        };
        (files, complete)
    }

    /// True when the volume shows a token of the Pod's service account.
    pub fn has_service_account_token(&self) -> bool {
        self.projected
            .iter()
            .flat_map(|projected| &projected.sources)
            .any(|source| source.service_account_token.is_some())
    }
}

impl ConfigMapSource<'_> {
    /// Adds its files; true when these are all.
    fn files<'s>(&'s self, maps: ConfigMaps<'s>, files: &mut Vec<VolumeFile<'s>>) -> bool {
        let Some(map) = maps.get(&self.name) else { return false };
        let config_map = self.name.as_str();
        if self.items.is_empty() {
            let all = map.texts();
            files.extend(all.map(|(key, text)| VolumeFile { path: key, config_map, key, text }));
            return !map.has_binary();
        }
        let before = files.len();
        files.extend(self.items.iter().filter_map(|item| {
            let (path, key) = (item.path.as_str(), item.key.as_str());
            Some(VolumeFile { path, config_map, key, text: map.text(key)? })
        }));
        files.len().saturating_sub(before) == self.items.len()
    }
}

/// A file of a volume that a ConfigMap in reach shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeFile<'s> {
    /// Path in the volume.
    pub path: &'s str,
    /// Name of the ConfigMap.
    pub config_map: &'s str,
    /// The key in it.
    pub key: &'s str,
    /// What the file holds. May hold secrets, although it should not: never print it.
    pub text: &'s str,
}
