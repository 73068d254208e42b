//! Pages for browsers: one file each, which loads nothing.
//!
//! Every page extends `base.html`, and so has the style, the security policy and the frame of all.
//! Askama escapes whatever is filled in; what a template marks as safe is ours and fixed.

mod check;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};

pub use check::html;

const STYLE: &str = include_str!("style.css");
/// Filters items by their data.
pub(super) const FILTER: &str = include_str!("filter.js");

/// What `base.html` needs: the field `page` of every template that extends it.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// The content security policy: nothing is loaded, and of styles and scripts only these run,
    /// by their digests.
    pub(super) csp: String,
    pub(super) style: &'static str,
    /// Empty for a page without one.
    pub(super) script: &'static str,
    pub(super) version: &'static str,
}

impl Page {
    /// A page with a script, or without when it is empty.
    pub(super) fn new(script: &'static str) -> Self {
        let allowed = match script {
            "" => "'none'".to_owned(),
            script => source(script),
        };
        let style = source(STYLE);
        // The icon is an empty `data:` one, so that browsers ask for none.
        let csp = format!(
            "default-src 'none'; style-src {style}; script-src {allowed}; img-src data:; \
             base-uri 'none'; form-action 'none'"
        );
        Self { csp, style: STYLE, script, version: env!("CARGO_PKG_VERSION") }
    }
}

/// What a content security policy calls a text in the page.
fn source(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A closing tag in either would end it, and change what the digest is of.
    #[test]
    fn style_and_script_hold_no_tag() {
        for text in [STYLE, FILTER] {
            assert!(!text.contains("</") && !text.contains("<!--") && text.is_ascii());
        }
    }
}
