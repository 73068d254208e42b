//! Image references, reduced to what tells which program they hold.

use std::borrow::Cow;

/// An image without its registry and digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image<'r> {
    /// The repository's path, the registry's host left out.
    path: Cow<'r, str>,
    /// The tag; in a pattern it may start with `*`.
    tag: Option<Cow<'r, str>>,
}

impl<'r> Image<'r> {
    /// Reads a reference such as `ghcr.io/org/app:1.2@sha256:…`, or a pattern.
    pub(super) fn parse(reference: &'r str) -> Self {
        let reference = reference.split_once('@').map_or(reference, |(name, _)| name);
        let (repository, tag) = match reference.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (reference, None),
        };
        let path = match repository.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => path,
            _ => repository,
        };
        Self { path: Cow::Borrowed(path), tag: tag.map(Cow::Borrowed) }
    }

    /// The same with text of its own.
    pub(super) fn into_owned(self) -> Image<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Image { path: own(self.path), tag: self.tag.map(own) }
    }

    /// The last segment of the repository.
    pub(super) fn basename(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// True when this pattern matches an image: on its last segments, whatever mirror it is in.
    pub(super) fn covers(&self, image: &Image<'_>) -> bool {
        let tag_fits = match (&self.tag, &image.tag) {
            (None, _) => true,
            (Some(wanted), Some(tag)) => match wanted.strip_prefix('*') {
                Some(suffix) => tag.ends_with(suffix),
                None => tag == wanted,
            },
            (Some(_), None) => false,
        };
        let before = image.path.strip_suffix(&*self.path);
        tag_fits && before.is_some_and(|mirror| mirror.is_empty() || mirror.ends_with('/'))
    }

    /// Which of two patterns that match says more.
    pub(super) fn precision(&self) -> (usize, bool) {
        (self.path.matches('/').count(), self.tag.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_does_not_matter() {
        let pattern = Image::parse("flyway/flyway");
        for image in [
            "flyway/flyway",
            "docker.io/flyway/flyway:10-alpine",
            "localhost:5000/flyway/flyway@sha256:00",
            "registry.example.com:5000/mirror/flyway/flyway:10",
        ] {
            assert!(pattern.covers(&Image::parse(image)), "{image}");
        }
        for image in ["flyway", "my/flyway", "flyway/flyway-ui", "xflyway/flyway"] {
            assert!(!pattern.covers(&Image::parse(image)), "{image}");
        }
    }

    #[test]
    fn a_tag_may_be_asked_for() {
        let pattern = Image::parse("hasura/graphql-engine:*.cli-migrations-v3");
        assert!(pattern.covers(&Image::parse("hasura/graphql-engine:v2.36.0.cli-migrations-v3")));
        assert!(!pattern.covers(&Image::parse("hasura/graphql-engine:v2.36.0")));
    }
}
