//! Which kinds a cluster has.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIResource, APIResourceList};
use kube::{Client, core::ApiResource};

/// What the API server says that it serves, read as it is asked for.
#[derive(Clone)]
pub(super) struct Discovery {
    client: Client,
    /// Versions by group.
    groups: BTreeMap<String, BTreeSet<String>>,
    /// Kinds by group and version.
    kinds: BTreeMap<(String, String), Vec<APIResource>>,
}

impl Discovery {
    /// Asks for the groups.
    ///
    /// # Errors
    ///
    /// When the API server does not answer.
    pub(super) async fn read(client: Client) -> kube::Result<Self> {
        let groups = client.list_api_groups().await?.groups.into_iter().map(|group| {
            let versions = group.versions.into_iter().map(|version| version.version);
            (group.name, versions.collect())
        });
        let mut groups: BTreeMap<String, BTreeSet<String>> = groups.collect();
        groups.insert(String::new(), BTreeSet::from(["v1".to_owned()]));
        Ok(Self { client, groups, kinds: BTreeMap::new() })
    }

    /// A kind by its plural name, in the first of `versions` that has it; none when the cluster
    /// does not have it or cannot list it.
    ///
    /// # Errors
    ///
    /// When the API server does not answer.
    pub(super) async fn find(
        &mut self,
        group: &str,
        versions: &[&str],
        plural: &str,
    ) -> kube::Result<Option<ApiResource>> {
        for version in versions {
            if !self.groups.get(group).is_some_and(|served| served.contains(*version)) {
                continue;
            }
            let known = self.kinds(group, version).await?;
            let lists =
                |it: &&APIResource| it.name == plural && it.verbs.iter().any(|it| it == "list");
            if let Some(kind) = known.iter().find(lists) {
                let api_version = match group {
                    "" => (*version).to_owned(),
                    group => format!("{group}/{version}"),
                };
                return Ok(Some(ApiResource {
                    group: group.to_owned(),
                    version: (*version).to_owned(),
                    api_version,
                    kind: kind.kind.clone(),
                    plural: plural.to_owned(),
                }));
            }
        }
        Ok(None)
    }

    async fn kinds(&mut self, group: &str, version: &str) -> kube::Result<&[APIResource]> {
        let key = (group.to_owned(), version.to_owned());
        if !self.kinds.contains_key(&key) {
            let listed = match group {
                "" => self.client.list_core_api_resources(version).await,
                group => self.client.list_api_group_resources(&format!("{group}/{version}")).await,
            };
            let resources = match listed {
                Ok(APIResourceList { resources, .. }) => resources,
                // Its last definition was removed a moment ago.
                Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
                Err(error) => return Err(error),
            };
            self.kinds.insert(key.clone(), resources);
        }
        Ok(self.kinds.get(&key).map_or(&[], Vec::as_slice))
    }
}
