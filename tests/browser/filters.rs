//! The filters over findings, which pages of checks and of scans share.

use std::fmt::Debug;

use serde::de::DeserializeOwned;

use super::devtools::Page;

/// A filter, the value that is chosen, and which findings it keeps.
pub(super) type Choice<T> = (&'static str, &'static str, fn(&T) -> bool);

/// Findings as a page shows them, with the script that lists those that are seen.
pub(super) struct Filtered<'f, T> {
    pub(super) all: &'f [T],
    pub(super) visible: &'static str,
}

impl<T: Clone + Debug + PartialEq + DeserializeOwned> Filtered<'_, T> {
    /// Every filter alone narrows what is shown, says how much of it is left, and leaves no heading over
    /// nothing.
    pub(super) fn one_by_one(&self, page: &mut Page<'_>, choices: &[Choice<T>]) {
        self.shows_all(page);
        for (filter, value, keep) in choices {
            page.choose(&format!("#filter-{filter}"), value);
            let want = self.kept(*keep);
            assert!(want.len() < self.all.len(), "{filter} {value}");
            assert_eq!(self.seen(page), want, "{filter} {value}");
            assert_eq!(status(page), format!("{} of {} findings", want.len(), self.all.len()));
            let empty = "[...document.querySelectorAll('[data-group]')].filter(it => \
                 it.checkVisibility() && !it.querySelector('[data-item]:not([hidden])')).length";
            assert_eq!(page.eval(empty), 0);
            page.choose(&format!("#filter-{filter}"), "");
        }
    }

    /// Two filters at once keep what both keep.
    pub(super) fn together(&self, page: &mut Page<'_>, choices: &[Choice<T>; 2]) {
        for (filter, value, _) in choices {
            page.choose(&format!("#filter-{filter}"), value);
        }
        let want = self.kept(|it| choices.iter().all(|(_, _, keep)| keep(it)));
        assert_eq!(self.seen(page), want);
    }

    /// The button that takes every filter back.
    pub(super) fn reset(&self, page: &mut Page<'_>) {
        page.eval(
            "new Promise(done => { document.querySelector('button[type=reset]').click(); \
             setTimeout(done, 50); })",
        );
        self.shows_all(page);
    }

    fn shows_all(&self, page: &mut Page<'_>) {
        assert_eq!(self.seen(page), self.all);
        assert_eq!(status(page), format!("{} findings", self.all.len()));
    }

    fn kept(&self, keep: impl Fn(&T) -> bool) -> Vec<T> {
        let kept: Vec<T> = self.all.iter().filter(|it| keep(it)).cloned().collect();
        assert!(!kept.is_empty());
        kept
    }

    fn seen(&self, page: &mut Page<'_>) -> Vec<T> {
        serde_json::from_value(page.eval(self.visible)).unwrap()
    }
}

fn status(page: &mut Page<'_>) -> String {
    serde_json::from_value(page.eval("document.getElementById('shown').innerText")).unwrap()
}
