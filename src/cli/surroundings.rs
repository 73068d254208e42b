//! What some objects of a set tell of all the others, wherever they stand in it.

use std::collections::BTreeMap;

use super::{
    applications::Applications,
    manifests::{Manifest, Seen},
    set::{Pairs, SetArgs},
};
use crate::{
    model::{ConfigMapSet, ConfigMaps, Fact, Labels, Object},
    plan::Application,
    policy::Exception,
};

/// The label that the API server itself puts on every namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// Of a cluster-scoped object.
static NO_LABELS: Labels = Labels::new();

/// Namespaces, ConfigMaps, exceptions and applications: everything of a set that has to be known
/// before the first of its objects is judged.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    namespaces: BTreeMap<String, Labels>,
    config_maps: ConfigMapSet,
    exceptions: Vec<Exception>,
    applications: Applications,
}

impl Surroundings {
    /// Gathers what documents tell, in the order of the set; each comes with the place of its file.
    /// What ConfigMaps hold is moved out of them.
    pub(super) fn of<'d>(
        args: &SetArgs,
        documents: impl Iterator<Item = (usize, &'d mut Seen)>,
    ) -> Self {
        let mut around = Self::default();
        for (file, seen) in documents {
            around.see(args, file, seen);
        }
        around.complete(args);
        around
    }

    /// Takes what the next document tells.
    pub(super) fn see(&mut self, args: &SetArgs, file: usize, seen: &mut Seen) {
        match seen {
            Seen::Manifest(manifest) => self.add(args, file, manifest),
            Seen::Exception(exception) => {
                let namespace = exception.namespace.clone();
                let namespace = namespace.or_else(|| Some(args.default_namespace().to_owned()));
                self.exceptions.push(Exception { namespace, ..Exception::clone(exception) });
            }
            Seen::Own | Seen::Foreign | Seen::Broken(_) => {}
        }
    }

    /// Every document was seen.
    pub(super) fn complete(&mut self, args: &SetArgs) {
        if let Some(Pairs(labels)) = &args.namespace_labels {
            self.namespaces.insert(args.default_namespace().to_owned(), labels.clone());
        }
        for (name, labels) in &mut self.namespaces {
            labels.insert(NAME_LABEL.to_owned(), name.clone());
        }
    }

    /// True for what tells something of others.
    pub(super) fn needs(seen: &Seen) -> bool {
        match seen {
            Seen::Manifest(manifest) => {
                manifest.namespace_labels.is_some()
                    || manifest.config_map.is_some()
                    || manifest.kind == "Application"
            }
            Seen::Exception(_) => true,
            Seen::Own | Seen::Foreign | Seen::Broken(_) => false,
        }
    }

    fn add(&mut self, args: &SetArgs, file: usize, manifest: &mut Manifest) {
        if let Some(labels) = &manifest.namespace_labels {
            self.namespaces.insert(manifest.name.clone(), labels.clone());
        }
        if let Some(map) = manifest.config_map.take() {
            self.config_maps.add(args.namespace_of(manifest), &manifest.name, file, map);
        }
        if manifest.kind == "Application" {
            let object = Object::parse(&manifest.json).ok();
            if let Some(application) = object.as_ref().and_then(Application::of) {
                self.applications.add(application);
            }
        }
    }

    /// The exceptions, each with its namespace.
    pub(super) fn exceptions(&self) -> &[Exception] {
        &self.exceptions
    }

    /// The Argo CD applications.
    pub(super) fn applications(&self) -> &Applications {
        &self.applications
    }

    /// The ConfigMaps that an object of a namespace that stands in a file may refer to.
    pub(super) fn config_maps<'s>(&'s self, namespace: &'s str, file: usize) -> ConfigMaps<'s> {
        self.config_maps.seen_from(namespace, file)
    }

    /// The labels of a namespace; empty is that of cluster-scoped objects.
    pub(super) fn labels(&self, namespace: &str) -> Fact<&Labels> {
        if namespace.is_empty() {
            return Fact::Known(&NO_LABELS);
        }
        match self.namespaces.get(namespace) {
            Some(labels) => Fact::Known(labels),
            // Neither the set nor `--namespace-labels` says, and there is no cluster to ask.
            None => Fact::NotAsked,
        }
    }
}
