//! Lists a cluster and has it judged.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::Namespace, networking::v1::NetworkPolicy};
use kube::{
    Api, Client,
    core::{ApiResource, PartialObjectMeta},
};

use super::{
    Documents, Evidence, Inquiry, Kind as Document, Raw, approval_kind, discovery::Discovery,
    pages::Pages,
};
use crate::{
    decision::Wants,
    metrics::Metrics,
    model::{ActiveMigration, Fact, Labels},
    policy::PolicySet,
    scan::{Counts, Item, Kind, LookedUp, Options, Scan, Scanner, kinds},
};

/// For how many objects something is looked up at a time. Each may take some ConfigMaps of at most
/// 1 MiB.
const AT_ONCE: usize = 4;
/// How long to wait for what one object needs.
const PATIENCE: Duration = Duration::from_secs(1);

/// What to scan.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// One namespace alone.
    pub namespace: Option<String>,
    /// Objects with these labels alone.
    pub selector: Option<String>,
    /// Whether to read the ConfigMaps that migrations refer to.
    pub config_maps: bool,
    /// How to judge.
    pub options: Options,
}

/// A cluster that cannot be scanned at all.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Its kinds, policies or namespaces cannot be read.
    #[error("{what} cannot be read")]
    Unreadable {
        /// What it is.
        what: &'static str,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// There is no such namespace.
    #[error("there is no namespace `{0}`")]
    NoNamespace(String),
    /// The threads that judge are gone.
    #[error("nothing can be judged any more")]
    Stopped,
}

impl ScanError {
    fn of(what: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Unreadable { what, source }
    }
}

/// Told of how far a scan is: the kind that is listed, and how much was looked at.
pub type OnProgress<'p> = dyn Fn(&str, Counts) + Send + Sync + 'p;

/// The policies and exceptions of a cluster before a base, and what is wrong with some of them.
///
/// `all` is false where the base replaces the policies of the cluster; its exceptions count anyway.
///
/// # Errors
///
/// When they cannot be listed. A cluster without these kinds has none.
pub async fn documents(
    client: &Client,
    base: PolicySet,
    all: bool,
    namespace: Option<&str>,
) -> Result<(PolicySet, Vec<String>), ScanError> {
    let documents = Documents::new(base, |_| {});
    let metrics = Metrics::default();
    for kind in [Document::Policy, Document::Exception] {
        let resource = kind.resource();
        let (api, what): (Api<Raw>, _) = match (kind, namespace) {
            (Document::Policy, _) if !all => continue,
            (Document::Exception, Some(namespace)) => (
                Api::namespaced_with(client.clone(), namespace, &resource),
                "the exceptions of the namespace",
            ),
            (Document::Policy, _) => {
                (Api::all_with(client.clone(), &resource), "the policies of the cluster")
            }
            (Document::Exception, None) => {
                (Api::all_with(client.clone(), &resource), "the exceptions of the cluster")
            }
        };
        let listed = match listed(Pages::new(api, None)).await {
            // The kind is not installed.
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            listed => listed.map_err(ScanError::of(what))?,
        };
        documents.load(kind, listed, &metrics);
    }
    let wrong = documents.take_dirty().into_iter().filter_map(|((kind, namespace, name), it)| {
        let home = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        Some(format!("{} {home}{name} is not in force: {}", kind.as_str(), it.wrong?))
    });
    let wrong = wrong.collect();
    Ok((PolicySet::clone(&documents.current()), wrong))
}

async fn listed(mut pages: Pages<Raw>) -> kube::Result<Vec<Raw>> {
    let mut all = Vec::new();
    while let Some(page) = pages.next().await? {
        all.extend(page);
    }
    Ok(all)
}

/// Scans a cluster. `active` are the migrations that run, where somebody watches them; they are
/// looked for otherwise.
///
/// # Errors
///
/// When its kinds or its namespaces cannot be read. What else cannot be read is told in the scan.
pub async fn scan(
    client: &Client,
    request: &Request,
    policies: PolicySet,
    active: Option<Fact<Vec<ActiveMigration>>>,
    on_progress: &OnProgress<'_>,
) -> Result<Scan, ScanError> {
    let options = Options { partial: request.selector.is_some(), ..request.options.clone() };
    let scanner = Scanner::new(policies, options, Timestamp::now());
    let discovery = Discovery::read(client.clone()).await;
    let mut scan = Listing {
        client,
        request,
        discovery: discovery.map_err(ScanError::of("the kinds of the cluster"))?,
        scanner: Some(scanner),
        on_progress,
    };
    scan.namespaces().await?;
    scan.network_policies().await?;
    scan.approvals().await?;
    match active {
        Some(active) => scan.scanner()?.active(active),
        None => scan.running().await?,
    }
    for kind in kinds() {
        scan.kind(kind).await?;
    }
    Ok(scan.scanner.take().ok_or(ScanError::Stopped)?.finish())
}

/// A scan that goes on.
struct Listing<'l> {
    client: &'l Client,
    request: &'l Request,
    discovery: Discovery,
    /// Away while another thread judges.
    scanner: Option<Scanner>,
    on_progress: &'l OnProgress<'l>,
}

impl Listing<'_> {
    fn scanner(&mut self) -> Result<&mut Scanner, ScanError> {
        self.scanner.as_mut().ok_or(ScanError::Stopped)
    }

    /// Lets `work` have the scanner, on a thread that may take its time.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Scanner) -> T + Send + 'static,
    ) -> Result<T, ScanError> {
        let mut scanner = self.scanner.take().ok_or(ScanError::Stopped)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&mut scanner);
            (scanner, done)
        });
        let (scanner, done) = done.await.map_err(|_gone| ScanError::Stopped)?;
        self.scanner = Some(scanner);
        Ok(done)
    }

    async fn namespaces(&mut self) -> Result<(), ScanError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let add = |scanner: &mut Scanner, it: PartialObjectMeta<Namespace>| {
            scanner.namespace(
                it.metadata.name.as_deref().unwrap_or_default(),
                it.metadata.labels.unwrap_or_default(),
            );
        };
        if let Some(name) = &self.request.namespace {
            let read = api.get_metadata_opt(name).await;
            match read.map_err(ScanError::of("the namespace"))? {
                Some(namespace) => add(self.scanner()?, namespace),
                None => return Err(ScanError::NoNamespace(name.clone())),
            }
            return Ok(());
        }
        let mut pages = Pages::new(api, None);
        while let Some(page) =
            pages.next_metadata().await.map_err(ScanError::of("the namespaces"))?
        {
            let scanner = self.scanner()?;
            for namespace in page {
                add(scanner, namespace);
            }
        }
        Ok(())
    }

    /// The objects of a kind, in the namespace that was asked for.
    fn pages(&self, resource: &ApiResource, selector: Option<&str>) -> Pages<Raw> {
        let api = match &self.request.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        };
        Pages::new(api, selector)
    }

    async fn network_policies(&mut self) -> Result<(), ScanError> {
        let resource = ApiResource::erase::<NetworkPolicy>(&());
        let mut pages = self.pages(&resource, None);
        loop {
            match pages.next().await {
                Ok(None) => return Ok(()),
                Ok(Some(page)) => {
                    let scanner = self.scanner()?;
                    for raw in page {
                        scanner.network_policy(raw.namespace(), &raw.text(&resource));
                    }
                }
                Err(error) => {
                    tracing::warn!(error = told(&error), "NetworkPolicies cannot be listed");
                    self.scanner()?.no_network_policies("NetworkPolicies cannot be listed");
                    return Ok(());
                }
            }
        }
    }

    /// What people approved. A cluster without the kind has nothing of it.
    async fn approvals(&mut self) -> Result<(), ScanError> {
        let resource = approval_kind();
        let mut pages = self.pages(&resource, None);
        loop {
            match pages.next().await {
                Ok(None) => return Ok(()),
                Ok(Some(page)) => {
                    let scanner = self.scanner()?;
                    for raw in page {
                        scanner.approval(&raw.text(&resource));
                    }
                }
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
                Err(error) => {
                    tracing::warn!(error = told(&error), "approvals cannot be listed");
                    self.scanner()?.no_approvals("approvals cannot be listed");
                    return Ok(());
                }
            }
        }
    }

    /// Looks for the migrations that run.
    async fn running(&mut self) -> Result<(), ScanError> {
        let resource = ApiResource::erase::<Job>(&());
        let mut pages = self.pages(&resource, None);
        let mut active = Vec::new();
        loop {
            match pages.next().await {
                Ok(None) => break,
                Ok(Some(page)) => {
                    let resource = resource.clone();
                    let found = self.blocking(move |scanner| {
                        let running = page
                            .iter()
                            .filter_map(|raw| scanner.running(&item(raw, &raw.text(&resource))));
                        running.collect::<Vec<_>>()
                    });
                    active.extend(found.await?);
                }
                Err(_) => {
                    // That Jobs cannot be listed is told when they are.
                    let unknown = Fact::Unknown("the Jobs of the cluster cannot be listed".into());
                    self.scanner()?.active(unknown);
                    return Ok(());
                }
            }
        }
        self.scanner()?.active(Fact::Known(active));
        Ok(())
    }

    async fn kind(&mut self, kind: Kind) -> Result<(), ScanError> {
        let title = kind.title();
        // One namespace holds nothing that is cluster-scoped.
        if !kind.namespaced && self.request.namespace.is_some() {
            return Ok(());
        }
        let found = self.discovery.find(kind.group, kind.versions, kind.resource).await;
        let resource = match found {
            Ok(Some(resource)) => resource,
            Ok(None) => {
                self.scanner()?.absent(title);
                return Ok(());
            }
            Err(error) => {
                self.scanner()?.error(format!("{title}: {}", told(&error)));
                return Ok(());
            }
        };
        let mut pages = self.pages(&resource, self.request.selector.as_deref());
        loop {
            let counts = self.scanner()?.counts();
            (self.on_progress)(&title, counts);
            match pages.next().await {
                Ok(None) => return Ok(()),
                Ok(Some(page)) => self.page(&resource, page).await?,
                Err(error) => {
                    self.scanner()?.error(format!("{title}: {}", told(&error)));
                    return Ok(());
                }
            }
        }
    }

    /// Judges a page; what has to be looked up for some of it is looked up for a few at a time.
    async fn page(&mut self, resource: &ApiResource, page: Vec<Raw>) -> Result<(), ScanError> {
        let own = resource.clone();
        let (mut page, wanted) = self
            .blocking(move |scanner| {
                let mut wanted = Vec::new();
                for (index, raw) in page.iter().enumerate() {
                    let wants = scanner.judge(&item(raw, &raw.text(&own)), None);
                    if !wants.is_empty() {
                        wanted.push((index, wants));
                    }
                }
                (page, wanted)
            })
            .await?;
        let inquiry = Inquiry::new(self.client.clone());
        for some in wanted.chunks(AT_ONCE) {
            let asked = some.iter().filter_map(|(index, wants)| {
                let mut wants = wants.clone();
                if !self.request.config_maps {
                    wants.config_maps.clear();
                }
                Some(looked_up(&inquiry, page.get(*index)?.namespace().to_owned(), wants))
            });
            let found: Vec<Evidence> = join_all(asked).await;
            let places: Vec<usize> = some.iter().map(|(index, _)| *index).collect();
            let own = resource.clone();
            page = self
                .blocking(move |scanner| {
                    for (raw, evidence) in places.iter().filter_map(|it| page.get(*it)).zip(&found)
                    {
                        let Evidence { backup, config_maps } = evidence;
                        let found = LookedUp { backup: backup.clone(), config_maps };
                        scanner.judge(&item(raw, &raw.text(&own)), Some(&found));
                    }
                    page
                })
                .await?;
        }
        Ok(())
    }
}

async fn looked_up(inquiry: &Inquiry, namespace: String, wants: Wants) -> Evidence {
    inquiry.gather(&namespace, &wants, PATIENCE).await
}

fn item<'i>(raw: &'i Raw, text: &'i str) -> Item<'i> {
    let labels: Option<&Labels> = raw.metadata.labels.as_ref();
    Item { namespace: raw.namespace(), name: raw.name(), uid: raw.uid(), labels, text }
}

/// An error in one line, with its causes.
fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => {
            let code = status.code;
            if status.message.is_empty() {
                format!("status {code}")
            } else {
                status.message.clone()
            }
        }
        error => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(error);
            while let Some(next) = cause {
                text = format!("{text}: {next}");
                cause = next.source();
            }
            text
        }
    }
}
