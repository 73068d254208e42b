//! Image references: what decides which image is pulled.

/// Tag and digest of a reference such as `ghcr.io/org/app:1.2@sha256:…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageReference<'i> {
    /// The tag, if there is one. Without a tag and a digest, `latest` is pulled.
    pub tag: Option<&'i str>,
    /// The digest, if there is one. It decides alone: a tag beside it is only read by people.
    pub digest: Option<&'i str>,
}

impl<'i> ImageReference<'i> {
    /// Reads a reference. Total: what is no reference has neither tag nor digest.
    pub fn parse(reference: &'i str) -> Self {
        let (name, digest) = match reference.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (reference, None),
        };
        // A colon before the last slash is the port of a registry.
        let tag = name.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'));
        let given = |part: Option<&'i str>| part.filter(|part| !part.is_empty());
        Self { tag: given(tag), digest: given(digest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_no_tags() {
        for (text, tag, digest) in [
            ("app", None, None),
            ("app:1.2", Some("1.2"), None),
            ("localhost:5000/app", None, None),
            ("localhost:5000/app:v1", Some("v1"), None),
            ("ghcr.io/a/b@sha256:00", None, Some("sha256:00")),
            ("ghcr.io/a/b:1@sha256:00", Some("1"), Some("sha256:00")),
            ("app:", None, None),
            ("", None, None),
        ] {
            assert_eq!(ImageReference::parse(text), ImageReference { tag, digest }, "{text}");
        }
    }
}
