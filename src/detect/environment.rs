//! The variables of a container, as far as manifests show them.

use std::{
    borrow::Cow,
    cell::OnceCell,
    collections::{BTreeMap, btree_map::Entry},
    rc::Rc,
};

use compact_str::CompactString;

use super::{
    catalogue::Tool,
    changes::{self, Budget, Surroundings},
    commands::{Field, Found},
    effort::Effort,
    files::{Files, absolute},
    script::{HOLE, Shell},
    state::Variables,
};
use crate::model::{Container, MountedSource, Text};

/// A variable of a container.
#[derive(Debug)]
pub(super) struct Variable<'a> {
    pub(super) name: Cow<'a, str>,
    /// `None` for a value that is somewhere else.
    pub(super) value: Option<Cow<'a, str>>,
    /// The field that settles it.
    pub(super) field: Field,
}

/// The variables of a container, and the folder that it starts in.
#[derive(Debug)]
pub(super) struct Environment<'a> {
    /// As they are written, `envFrom` before `env`: of two of one name the last one counts.
    written: Vec<Variable<'a>>,
    /// The places of those that count, in order of their names, once somebody asks for that.
    order: OnceCell<Vec<usize>>,
    /// More variables come from objects that we do not see.
    is_open: bool,
    /// What may still be done for the object.
    effort: &'a Effort,
    /// The working directory, unless it is the image's.
    folder: Option<String>,
    /// The same variables as a shell has them, once one is asked for: most containers run none.
    texts: OnceCell<Rc<Variables>>,
}

impl<'a> Environment<'a> {
    pub(super) fn of(container: &'a Container<'_>, files: Files<'a>, effort: &'a Effort) -> Self {
        let mut variables = Known::default();
        let mut is_open = false;
        for (index, source) in container.env_from.iter().enumerate() {
            let map = match source.source() {
                Some(MountedSource::ConfigMap(name)) => files.maps().get(name),
                _ => None,
            };
            is_open |= map.is_none();
            for (key, text) in map.iter().flat_map(|map| map.texts()) {
                variables.all.push(Variable {
                    name: match source.prefix.as_deref() {
                        None | Some("") => key.into(),
                        Some(prefix) => format!("{prefix}{key}").into(),
                    },
                    value: Some(text.into()),
                    field: Field::EnvFrom(index),
                });
            }
        }
        variables.all.reserve(container.env.len());
        for (index, variable) in container.env.iter().enumerate() {
            let value = match (&variable.value, &variable.value_from) {
                (_, Some(source)) => source.config_map_key_ref.as_ref().and_then(|reference| {
                    files.maps().get(&reference.name)?.text(&reference.key).map(Cow::Borrowed)
                }),
                (Some(value), None) => {
                    Some(expanded(value, is_open, |name, out| variables.put(name, out, effort)))
                }
                (None, None) => Some(Cow::Borrowed("")),
            };
            let name = Cow::Borrowed(variable.name.as_str());
            variables.all.push(Variable { name, value, field: Field::Env(index) });
        }
        let folder = container.working_dir.as_deref().and_then(|path| absolute(None, path));
        let (order, texts) = (OnceCell::new(), OnceCell::new());
        Self { written: variables.all, order, is_open, effort, folder, texts }
    }

    /// Every variable, in order of their names; none where none of them `tells`.
    pub(super) fn telling(
        &self,
        tells: impl Fn(&Variable<'a>) -> bool,
    ) -> impl Iterator<Item = &Variable<'a>> {
        // Most containers have none that does, and then the order does not matter.
        let order = if self.written.iter().any(tells) { self.order() } else { &[] };
        order.iter().filter_map(|at| self.written.get(*at))
    }

    fn order(&self) -> &[usize] {
        self.order.get_or_init(|| {
            let name = |at: usize| self.written.get(at).map(|variable| variable.name.as_ref());
            let mut order: Vec<usize> = (0..self.written.len()).collect();
            // The order of those of one name is kept.
            order.sort_by_key(|at| name(*at));
            order.dedup_by(|later, earlier| {
                let is_same = name(*later) == name(*earlier);
                if is_same {
                    *earlier = *later;
                }
                is_same
            });
            order
        })
    }

    /// Adds what folders of migrations show to what an image or a variable says.
    pub(super) fn refine<'c>(
        &self,
        tool: &Tool,
        found: &mut Found<'c>,
        files: Files<'c>,
        budget: &mut Budget,
    ) {
        if let Some(plan) = &tool.migrations {
            let (variables, folder) = (self.texts().as_ref(), self.folder.as_deref());
            let around = Surroundings { args: &[], environment: &[], variables, folder, files };
            changes::refine(plan, &around, budget, found);
        }
    }

    /// A shell that starts in the container.
    pub(super) fn shell(&self) -> Shell {
        Shell::new(Rc::clone(self.texts()), self.folder.clone())
    }

    /// Words of `command` or `args` as the container gets them.
    pub(super) fn expand_all(&self, words: &[Text<'_>]) -> Vec<CompactString> {
        let put = |name: &str, out: &mut String| {
            let written = |at: &usize| self.written.get(*at);
            let order = self.order();
            let at = order.binary_search_by_key(&Some(name), |at| {
                written(at).map(|variable| variable.name.as_ref())
            });
            let variable = at.ok().and_then(|at| order.get(at)).and_then(written);
            variable.is_some_and(|variable| variable.put(out, self.effort))
        };
        words.iter().map(|word| expanded(word, self.is_open, put).into()).collect()
    }

    fn texts(&self) -> &Rc<Variables> {
        self.texts.get_or_init(|| {
            let text = |Variable { name, value, .. }: &Variable<'_>| {
                (name.as_ref().into(), value.as_deref().map(CompactString::from))
            };
            Rc::new(self.written.iter().map(text).collect())
        })
    }
}

impl Variable<'_> {
    /// Writes the value; true, because there is one.
    fn put(&self, out: &mut String, effort: &Effort) -> bool {
        match &self.value {
            Some(value) if out.len() < LONGEST && effort.put(value.len()) => out.push_str(value),
            _ => out.push(HOLE),
        }
        true
    }
}

/// How long a value may be, in bytes, before no other is put into it.
const LONGEST: usize = 65_536;

/// The variables so far.
#[derive(Default)]
struct Known<'a> {
    all: Vec<Variable<'a>>,
    /// The places of the first `indexed` of them, each of the last of its name. Few containers refer
    /// to a variable, so there is an index only where one does.
    places: BTreeMap<String, usize>,
    indexed: usize,
}

impl Known<'_> {
    /// Writes the value of a variable; false where there is none.
    fn put(&mut self, name: &str, out: &mut String, effort: &Effort) -> bool {
        for (at, variable) in self.all.iter().enumerate().skip(self.indexed) {
            match self.places.entry(variable.name.as_ref().to_owned()) {
                Entry::Vacant(place) => drop(place.insert(at)),
                Entry::Occupied(mut place) => drop(place.insert(at)),
            }
        }
        self.indexed = self.all.len();
        let variable = self.places.get(name).and_then(|at| self.all.get(*at));
        variable.is_some_and(|variable| variable.put(out, effort))
    }
}

/// Expands `$(NAME)` as the kubelet does: `$$` stands for a dollar, and a name that is not known
/// stays as it is, unless more variables come from objects that we do not see. `put` writes the value
/// of a variable, and says whether there is one.
fn expanded(
    text: &str,
    is_open: bool,
    mut put: impl FnMut(&str, &mut String) -> bool,
) -> Cow<'_, str> {
    // Most scripts are full of dollars, none of which is for the kubelet.
    if !text.as_bytes().contains(&b'$') || !(text.contains("$(") || text.contains("$$")) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // Where no bracket closes, none does later: looking again would take quadratic time.
    let mut closes = true;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let inside = after.strip_prefix('(').filter(|_| closes);
        let reference = inside.and_then(|inside| inside.split_once(')'));
        let Some((name, after)) = reference else {
            closes &= inside.is_none();
            out.push('$');
            rest = after;
            continue;
        };
        rest = after;
        if put(name, &mut out) {
            continue;
        }
        if is_open && !name.contains(char::is_whitespace) {
            out.push(HOLE);
        } else {
            out.push_str("$(");
            out.push_str(name);
            out.push(')');
        }
    }
    out.push_str(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ConfigMaps, Object};

    type Seen = (String, Option<String>, Field);

    /// The variables of a container with this `env`, and its `args` as it gets them.
    fn of(env: &str, args: &str) -> (Vec<Seen>, Vec<CompactString>) {
        let json = format!(
            r#"{{"apiVersion":"v1","kind":"Pod","spec":{{"containers":[
               {{"name":"a","env":{env},"args":{args}}}]}}}}"#
        );
        let object = Object::parse(&json).unwrap();
        let template = &object.templates[0];
        let container = &template.containers[0];
        let files = Files::of(template, container, ConfigMaps::NONE);
        let effort = Effort::new();
        let environment = Environment::of(container, files, &effort);
        let variable = |Variable { name, value, field }: &Variable<'_>| {
            (name.to_string(), value.as_deref().map(str::to_owned), *field)
        };
        let variables = environment.telling(|_| true).map(variable).collect();
        (variables, environment.expand_all(&container.args))
    }

    #[test]
    fn variables_are_expanded_as_the_kubelet_does() {
        let env = r#"[{"name":"VERB","value":"up"},{"name":"URL","valueFrom":{"fieldRef":{}}}]"#;
        for (text, expected) in [
            ("$(VERB)", "up"),
            ("a-$(VERB)-b", "a-up-b"),
            ("$$(VERB)", "$(VERB)"),
            ("$VERB", "$VERB"),
            ("$(URL)", "\u{FFFC}"),
            ("$(MISSING)", "$(MISSING)"),
            ("$(date", "$(date"),
            ("$(date$$(a", "$(date$(a"),
            ("$($(VERB)", "$($(VERB)"),
            ("100$", "100$"),
        ] {
            assert_eq!(of(env, &format!(r#"["{text}"]"#)).1, [expected], "{text}");
        }
    }

    #[test]
    fn variables_that_double_do_not_grow_without_end() {
        let double = r#",{"name":"A","value":"$(A)$(A)"}"#.repeat(2_000);
        let env = format!(r#"[{{"name":"A","value":"a"}}{double}]"#);
        let (variables, args) = of(&env, r#"["$(A)"]"#);
        assert_eq!(variables.len(), 1);
        let hole = HOLE.to_string();
        assert!(args[0].contains(&hole), "{} bytes", args[0].len());
        assert!(args[0].len() <= 2 * LONGEST + hole.len(), "{} bytes", args[0].len());
    }

    #[test]
    fn a_variable_knows_those_before_it_and_the_last_of_a_name_counts() {
        let env = r#"[
            {"name":"B","value":"$(A)"},
            {"name":"A","value":"1"},
            {"name":"C","value":"$(A)$(B)"},
            {"name":"A","value":"$(A)2"},
            {"name":"D","value":"$(A)"},
            {"name":"E"}]"#;
        let (variables, args) = of(env, r#"["$(A)"]"#);
        let wanted =
            [("A", "12", 3), ("B", "$(A)", 0), ("C", "1$(A)", 2), ("D", "12", 4), ("E", "", 5)];
        let wanted = wanted.map(|(name, value, index)| {
            (name.to_owned(), Some(value.to_owned()), Field::Env(index))
        });
        assert_eq!(variables, wanted);
        assert_eq!(args, ["12"]);
    }
}
