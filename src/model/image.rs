//! Image references: what decides which image is pulled.

/// The parts of a reference such as `ghcr.io/org/app:1.2@sha256:…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageReference<'i> {
    /// Everything before tag and digest, such as `ghcr.io/org/app`.
    pub repository: &'i str,
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
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (name, None),
        };
        let given = |part: Option<&'i str>| part.filter(|part| !part.is_empty());
        Self { repository, tag: given(tag), digest: given(digest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_no_tags() {
        for (text, repository, tag, digest) in [
            ("app", "app", None, None),
            ("app:1.2", "app", Some("1.2"), None),
            ("localhost:5000/app", "localhost:5000/app", None, None),
            ("localhost:5000/app:v1", "localhost:5000/app", Some("v1"), None),
            ("ghcr.io/a/b@sha256:00", "ghcr.io/a/b", None, Some("sha256:00")),
            ("ghcr.io/a/b:1@sha256:00", "ghcr.io/a/b", Some("1"), Some("sha256:00")),
            ("app:", "app", None, None),
            ("", "", None, None),
        ] {
            let wanted = ImageReference { repository, tag, digest };
            assert_eq!(ImageReference::parse(text), wanted, "{text}");
        }
    }
}
