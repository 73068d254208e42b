//! The files that a container sees, as far as ConfigMaps of the set show them.

use std::path::Path;

use super::script::HOLE;
use crate::model::{ConfigMaps, Container, PodTemplate, Volume, VolumeFile, VolumeMount};

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup<'o> {
    /// A file that a ConfigMap in reach shows.
    Text(VolumeFile<'o>),
    /// Something is mounted there that we cannot see.
    Opaque,
    /// Nothing is mounted there: what the image holds is not known.
    Absent,
}

/// What is mounted into one container.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files<'o> {
    mounts: &'o [VolumeMount<'o>],
    volumes: &'o [Volume<'o>],
    maps: ConfigMaps<'o>,
}

impl<'o> Files<'o> {
    pub(super) fn of(
        template: &'o PodTemplate<'_>,
        container: &'o Container<'_>,
        maps: ConfigMaps<'o>,
    ) -> Self {
        let volumes = template.spec.volumes.as_slice();
        Self { mounts: &container.volume_mounts, volumes, maps }
    }

    /// The ConfigMaps that the container's variables may come from.
    pub(super) fn maps(&self) -> ConfigMaps<'o> {
        self.maps
    }

    /// True when nothing is mounted.
    pub(super) fn is_empty(&self) -> bool {
        self.mounts.is_empty()
    }

    /// What stands at an absolute path.
    pub(super) fn file(&self, path: &str) -> Lookup<'o> {
        let Some((mount, inside)) = self.mount(path) else { return Lookup::Absent };
        let Some((files, _)) = self.mounted(mount) else { return Lookup::Opaque };
        let wanted = joined(mount, inside);
        let file = files.into_iter().find(|file| file.path.trim_start_matches('/') == wanted);
        file.map_or(Lookup::Opaque, Lookup::Text)
    }

    /// The texts below an absolute path, by their paths from there, in order of their paths; none
    /// unless every file there is known.
    pub(super) fn folder(&self, path: &str) -> Option<Vec<(String, VolumeFile<'o>)>> {
        let path = path.trim_end_matches('/');
        let mut all = Vec::new();
        let mut known = false;
        if let Some((mount, inside)) = self.mount(path) {
            let (files, complete) = self.mounted(mount)?;
            if !complete {
                return None;
            }
            let base = joined(mount, inside);
            for file in files {
                let file_path = file.path.trim_start_matches('/');
                if base.is_empty() {
                    all.push((file_path.to_owned(), file));
                } else if let Some(rest) = file_path.strip_prefix(&base)
                    && let Some(rest) = rest.strip_prefix('/')
                {
                    all.push((rest.to_owned(), file));
                }
            }
            known = true;
        }
        // Single files and folders that are mounted below the path.
        for mount in self.mounts {
            let at = mount.mount_path.trim_end_matches('/');
            let Some(below) = at.strip_prefix(path).and_then(|rest| rest.strip_prefix('/')) else {
                continue;
            };
            let (files, complete) = self.mounted(mount)?;
            let base = joined(mount, "");
            let single = files.iter().find(|file| file.path.trim_start_matches('/') == base);
            if let Some(file) = single {
                all.push((below.to_owned(), *file));
                known = true;
                continue;
            }
            if !complete {
                return None;
            }
            let inside = |file: &VolumeFile<'_>| {
                let path = file.path.trim_start_matches('/');
                let rest = if base.is_empty() { Some(path) } else { path.strip_prefix(&base) };
                rest.map(|rest| format!("{below}/{}", rest.trim_start_matches('/')))
            };
            all.extend(files.iter().filter_map(|file| Some((inside(file)?, *file))));
            known = true;
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        known.then_some(all)
    }

    /// The path of the only mount that ends with a relative path: what is meant by it where the
    /// image's working directory is not known.
    pub(super) fn only_mount(&self, relative: &str) -> Option<String> {
        let wanted = absolute(Some("/"), relative).filter(|path| path.len() > 1)?;
        let paths = self.mounts.iter().map(|mount| mount.mount_path.trim_end_matches('/'));
        let mut fitting = paths.filter(|path| path.ends_with(&wanted));
        let first = fitting.next()?;
        fitting.next().is_none().then(|| first.to_owned())
    }

    /// The script that is mounted over the entrypoint of the image, by the convention of its name.
    pub(super) fn entrypoint(&self) -> Option<(&'o str, VolumeFile<'o>)> {
        self.mounts.iter().find_map(|mount| {
            let path = mount.mount_path.as_str();
            let name = path.rsplit('/').next()?;
            let is_shell =
                Path::new(name).extension().is_some_and(|end| end.eq_ignore_ascii_case("sh"));
            if !name.contains("entrypoint") || !is_shell {
                return None;
            }
            match self.file(path) {
                Lookup::Text(file) => Some((path, file)),
                Lookup::Opaque | Lookup::Absent => None,
            }
        })
    }

    /// The mount that a path is in, and the rest of the path.
    fn mount<'p>(&self, path: &'p str) -> Option<(&'o VolumeMount<'o>, &'p str)> {
        self.mounts
            .iter()
            .filter_map(|mount| {
                let rest = path.strip_prefix(mount.mount_path.trim_end_matches('/'))?;
                (rest.is_empty() || rest.starts_with('/')).then_some((mount, rest))
            })
            .min_by_key(|(_, rest)| rest.len())
    }

    fn mounted(&self, mount: &VolumeMount<'_>) -> Option<(Vec<VolumeFile<'o>>, bool)> {
        if mount.sub_path_expr.is_some() {
            return None;
        }
        let volume = self.volumes.iter().find(|volume| *volume.name == *mount.name)?;
        Some(volume.files(self.maps))
    }
}

/// The path in the volume.
fn joined(mount: &VolumeMount<'_>, inside: &str) -> String {
    let sub_path = mount.sub_path.as_deref().unwrap_or_default().trim_matches('/');
    let inside = inside.trim_matches('/');
    match (sub_path, inside) {
        ("", inside) => inside.to_owned(),
        (sub_path, "") => sub_path.to_owned(),
        (sub_path, inside) => format!("{sub_path}/{inside}"),
    }
}

/// The longest path, in bytes, as for Linux.
const MAX_PATH: usize = 4096;
/// How deep a path may lead.
const MAX_FOLDERS: usize = 128;

/// A path made absolute against a folder, without `.` and `..`; none where it cannot be told.
pub(super) fn absolute(folder: Option<&str>, path: &str) -> Option<String> {
    if path.is_empty() || path.contains(HOLE) || path.len() > MAX_PATH {
        return None;
    }
    let folder = if path.starts_with('/') { "" } else { folder? };
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            // A script that goes deeper and deeper must not take quadratic time.
            _ if parts.len() == MAX_FOLDERS => return None,
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_absolute() {
        for (folder, path, expected) in [
            (None, "/a/./b/../c", Some("/a/c")),
            (None, "a", None),
            (Some("/w"), "a/b.sh", Some("/w/a/b.sh")),
            (Some("/w"), "./../b.sh", Some("/b.sh")),
            (Some("/w"), "../../../b", Some("/b")),
            (Some("/w"), "\u{FFFC}/b", None),
            (Some("/w"), "", None),
        ] {
            assert_eq!(absolute(folder, path).as_deref(), expected, "{path}");
        }
    }
}
