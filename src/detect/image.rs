//! Image references, reduced to what tells which program they hold.

/// An image without its registry and digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// The repository's path segments, the registry's host left out.
    segments: Vec<String>,
    /// The tag; in a pattern it may start with `*`.
    tag: Option<String>,
}

impl Image {
    /// Reads a reference such as `ghcr.io/org/app:1.2@sha256:…`, or a pattern.
    pub(super) fn parse(reference: &str) -> Self {
        let reference = reference.split_once('@').map_or(reference, |(name, _)| name);
        let (repository, tag) = match reference.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag.to_owned())),
            _ => (reference, None),
        };
        let mut segments: Vec<String> = repository.split('/').map(str::to_owned).collect();
        let has_host = segments.len() > 1
            && segments
                .first()
                .is_some_and(|host| host.contains(['.', ':']) || host == "localhost");
        if has_host {
            segments.remove(0);
        }
        Self { segments, tag }
    }

    /// The last segment of the repository.
    pub(super) fn basename(&self) -> &str {
        self.segments.last().map(String::as_str).unwrap_or_default()
    }

    /// True when this pattern matches an image: on its last segments, whatever mirror it is in.
    pub(super) fn covers(&self, image: &Self) -> bool {
        let tag_fits = match (&self.tag, &image.tag) {
            (None, _) => true,
            (Some(wanted), Some(tag)) => match wanted.strip_prefix('*') {
                Some(suffix) => tag.ends_with(suffix),
                None => tag == wanted,
            },
            (Some(_), None) => false,
        };
        tag_fits && image.segments.ends_with(&self.segments)
    }

    /// Which of two patterns that match says more.
    pub(super) fn precision(&self) -> (usize, bool) {
        (self.segments.len(), self.tag.is_some())
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
