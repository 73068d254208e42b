//! Long lists, page by page.

use std::{fmt::Debug, time::Duration};

use kube::{
    Api,
    api::ListParams,
    core::{ObjectList, PartialObjectMeta},
};
use serde::de::DeserializeOwned;

/// How many objects a page has. With what managers and controllers write into them, objects take
/// some ten kilobytes each.
const PAGE: u32 = 250;
/// How often a page is asked for.
const TRIES: u32 = 4;
/// How long to wait before the second try; twice as long before each after it.
const PATIENCE: Duration = Duration::from_millis(200);

/// A list that is read page by page.
#[derive(Debug)]
pub(super) struct Pages<K> {
    api: Api<K>,
    params: ListParams,
    is_done: bool,
}

impl<K: Clone + DeserializeOwned + Debug> Pages<K> {
    /// The objects of `api`, of those with the labels of `selector` where there is one.
    pub(super) fn new(api: Api<K>, selector: Option<&str>) -> Self {
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = selector.map(str::to_owned);
        Self { api, params, is_done: false }
    }

    /// The next page; none after the last.
    ///
    /// # Errors
    ///
    /// When the API server refuses, or does not answer for a while.
    pub(super) async fn next(&mut self) -> kube::Result<Option<Vec<K>>> {
        if self.is_done {
            return Ok(None);
        }
        let mut tries = 0;
        loop {
            match self.api.list(&self.params).await {
                Ok(page) => return Ok(Some(self.items(page))),
                Err(error) => self.again(error, &mut tries).await?,
            }
        }
    }

    /// The next page, of metadata alone; none after the last.
    ///
    /// # Errors
    ///
    /// As [`Self::next`].
    pub(super) async fn next_metadata(
        &mut self,
    ) -> kube::Result<Option<Vec<PartialObjectMeta<K>>>> {
        if self.is_done {
            return Ok(None);
        }
        let mut tries = 0;
        loop {
            match self.api.list_metadata(&self.params).await {
                Ok(page) => return Ok(Some(self.items(page))),
                Err(error) => self.again(error, &mut tries).await?,
            }
        }
    }

    /// Waits until it may help to ask again.
    ///
    /// # Errors
    ///
    /// The error, where it does not.
    async fn again(&mut self, error: kube::Error, tries: &mut u32) -> kube::Result<()> {
        *tries = tries.saturating_add(1);
        if *tries >= TRIES {
            return Err(error);
        }
        match error {
            kube::Error::Api(status) if status.code == 410 => {
                // The list has become too old to go on with. The API server offers to go on after
                // the last object with what is there now.
                let token = status.metadata.as_ref().and_then(|it| it.continue_.clone());
                let Some(token) = token.filter(|token| !token.is_empty()) else {
                    return Err(kube::Error::Api(status));
                };
                self.params.continue_token = Some(token);
                Ok(())
            }
            error if is_passing(&error) => {
                let factor = 1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX);
                tokio::time::sleep(PATIENCE.saturating_mul(factor)).await;
                Ok(())
            }
            error => Err(error),
        }
    }

    fn items<T: Clone>(&mut self, page: ObjectList<T>) -> Vec<T> {
        self.params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        self.is_done = self.params.continue_token.is_none();
        page.items
    }
}

/// True when the same question may be answered in a moment.
fn is_passing(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 429 | 500..=599),
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}
