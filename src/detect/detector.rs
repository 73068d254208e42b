//! What finds migrations: a catalogue of tools, compiled once.

use std::sync::{Arc, LazyLock};

use super::{
    Detection, Site, ToolEntry, argv,
    catalogue::{Catalogue, EntryError},
    detection,
    effort::Effort,
    files::Files,
    sole_purpose,
};
use crate::model::{ConfigMaps, ContainerList, Object};

/// The catalogue that comes with tidegate, as text.
const TOOLS: &str = include_str!("tools.yaml");

static BUILT_IN: LazyLock<Result<Arc<Detector>, EntryError>> =
    LazyLock::new(|| Ok(Arc::new(Detector { catalogue: Catalogue::load(TOOLS)? })));

static NOTHING: LazyLock<Arc<Detector>> = LazyLock::new(Arc::default);

/// The tools that are known, and what their command lines mean.
#[derive(Debug, Default)]
pub struct Detector {
    catalogue: Catalogue,
}

impl Detector {
    /// The catalogue that comes with tidegate; it is compiled on first use.
    ///
    /// A test loads it, so it is never one that knows no tool. A program that wants to be sure asks
    /// [`Detector::check_built_in`] when it starts.
    pub fn built_in() -> &'static Arc<Self> {
        BUILT_IN.as_ref().unwrap_or(&NOTHING)
    }

    /// Makes sure that the built-in catalogue is whole, and compiles it.
    ///
    /// # Errors
    ///
    /// When the compiled-in text is no catalogue: the build is broken.
    pub fn check_built_in() -> Result<(), EntryError> {
        BUILT_IN.as_ref().map(|_detector| ()).map_err(Clone::clone)
    }

    /// The built-in catalogue with more tools. Where one of `entries` speaks of a command, an image
    /// or a variable, no built-in entry does.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the entries. The id of a built-in tool is not free.
    pub fn with(entries: &[ToolEntry]) -> Result<Arc<Self>, Vec<EntryError>> {
        if entries.is_empty() {
            return Ok(Arc::clone(Self::built_in()));
        }
        let mut catalogue = Self::built_in().catalogue.clone();
        let errors: Vec<EntryError> = entries
            .iter()
            .enumerate()
            .flat_map(|(index, entry)| catalogue.add(index, entry, true).err().unwrap_or_default())
            .collect();
        if errors.is_empty() { Ok(Arc::new(Self { catalogue })) } else { Err(errors) }
    }

    /// Finds what every container of an object does with a database schema.
    ///
    /// Total and pure: any object gives an answer, the same object always the same one, in time
    /// that grows with its size. `maps` are the ConfigMaps in reach: scripts, statements and
    /// variables that come from them are read.
    pub fn detect<'o>(
        &'o self,
        object: &'o Object<'o>,
        maps: ConfigMaps<'o>,
    ) -> Vec<Detection<'o>> {
        let mut detections = Vec::new();
        let effort = Effort::new();
        for template in &object.templates {
            let owner = sole_purpose(object, template);
            for container in &template.containers {
                let owner = owner.filter(|_| container.list == ContainerList::Main);
                let files = Files::of(template, container, maps);
                for site in [Site::Command, Site::PostStart] {
                    let account =
                        argv::read(&self.catalogue, owner, container, files, site, &effort);
                    detections.extend(detection(template, container, site, account));
                }
            }
        }
        detections
    }

    /// How many tools are known.
    pub fn known_tools(&self) -> usize {
        self.catalogue.len()
    }

    /// The id of a tool, for as long as this detector is there; `None` when it is not known.
    pub fn tool_id(&self, tool: &str) -> Option<&str> {
        self.catalogue.by_id(tool).map(|tool| tool.id.as_str())
    }

    /// Whether two runs of a tool at the same time wait for each other; `None` when that depends on
    /// the database or is not known. `tool` is an [`Invocation`](super::Invocation)'s.
    pub fn waits_for_itself(&self, tool: &str) -> Option<bool> {
        self.catalogue.by_id(tool)?.lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Operation;

    #[test]
    fn the_built_in_catalogue_is_whole() {
        Detector::check_built_in().unwrap();
        assert!(Detector::built_in().known_tools() > 100, "{}", Detector::built_in().known_tools());
    }

    /// What is found in a Job of these containers, by their paths.
    fn found(containers: &[String]) -> Vec<(String, Operation)> {
        let json = format!(
            r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"a"}},"spec":{{
               "template":{{"spec":{{"containers":[{}]}}}}}}}}"#,
            containers.join(",")
        );
        let object = Object::parse(&json).unwrap();
        let detections = Detector::built_in().detect(&object, ConfigMaps::NONE);
        detections
            .iter()
            .map(|found| (found.container.path.to_string(), found.operation()))
            .collect()
    }

    fn container(command: &[&str]) -> String {
        let command = serde_json::to_string(command).unwrap();
        format!(r#"{{"name":"a","image":"a","command":{command}}}"#)
    }

    #[test]
    fn containers_that_use_up_the_effort_hide_no_migration_in_another() {
        let busy = container(&["sh", "-c", &"eval a;".repeat(30_000)]);
        let loss = ["psql", "-c", "DROP TABLE a"];
        let script = format!("{}rake db:migrate", "a;".repeat(1_000));
        let containers = [
            busy.clone(),
            busy.clone(),
            busy.clone(),
            busy,
            container(&["rake", "db:migrate"]),
            container(&loss),
            container(&["sh", "-c", "set -e; cd /app && exec bundle exec rake db:migrate"]),
            container(&["sh", "-c", &script]),
        ];
        let wanted = [
            (4, Operation::Apply),
            (5, Operation::Destructive),
            (6, Operation::Apply),
            // It is found by its words, so that it is not known what else there is.
            (7, Operation::Unknown),
        ];
        let path = |at: usize| format!("spec.template.spec.containers[{at}]");
        assert_eq!(found(&containers), wanted.map(|(at, operation)| (path(at), operation)));
    }
}
