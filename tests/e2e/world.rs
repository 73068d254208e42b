//! What all cases share.

use std::{
    path::Path,
    sync::{PoisonError, RwLock},
};

use super::{
    cases::{Case, Run},
    cluster::Cluster,
    namespace::Namespace,
    site::Site,
    tidegate::Tidegate,
};

/// A cluster that asks tidegate. What is dropped first ends first.
#[derive(Debug)]
pub(crate) struct World {
    /// Read by cases that need it running; written by the one that stops it.
    tidegate: RwLock<Tidegate>,
    /// The cluster.
    pub(crate) cluster: Cluster,
}

impl World {
    /// Starts and registers everything.
    pub(crate) fn start(assets: &Path) -> Result<Self, String> {
        let cluster = Cluster::start(assets)?;
        cluster.define(Path::new("deploy/helm/tidegate/files/crds.yaml"))?;
        let tidegate = Tidegate::start(&cluster)?;
        if let Err(error) = tidegate.register(&cluster) {
            return Err(format!("{error}\n{}", tidegate.tail()));
        }
        Ok(Self { tidegate: RwLock::new(tidegate), cluster })
    }

    /// Runs a case, beside others or alone.
    pub(crate) fn run(&self, case: &Case) {
        match case.run {
            Run::Beside(run) => {
                let _running = self.tidegate.read().unwrap_or_else(PoisonError::into_inner);
                run(self);
            }
            Run::Alone(run) => {
                let mut tidegate = self.tidegate.write().unwrap_or_else(PoisonError::into_inner);
                run(self, &mut tidegate);
            }
            Run::Installed(run) => {
                // Nothing else is to take its time from it.
                let _alone = self.tidegate.write().unwrap_or_else(PoisonError::into_inner);
                let site = Site::start(self.cluster.assets()).unwrap();
                run(&site);
            }
        }
        let log = self.tidegate.read().unwrap_or_else(PoisonError::into_inner).log();
        let panic = log.lines().find(|line| line.contains(r#""message":"panic""#));
        assert_eq!(panic, None, "tidegate panicked and answered all the same");
    }

    /// A namespace under the built-in policy.
    pub(crate) fn namespace<'w>(&'w self, name: &'w str) -> Namespace<'w> {
        Namespace::create(&self.cluster, name, None)
    }

    /// A namespace that is only watched, until it is told otherwise.
    pub(crate) fn watched_namespace<'w>(&'w self, name: &'w str) -> Namespace<'w> {
        Namespace::create(&self.cluster, name, Some("policy=audit"))
    }

    /// The ends of all logs.
    pub(crate) fn logs(&self) -> String {
        let tidegate = self.tidegate.read().unwrap_or_else(PoisonError::into_inner);
        format!("{}\n{}", tidegate.tail(), self.cluster.logs())
    }
}
