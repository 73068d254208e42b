//! What expressions read of a value, as far as their text tells before there is a value.
//!
//! `object.spec.replicas > 1` reads one field. To convert that field costs a small part of what it
//! costs to convert the object, so a [`Reads`] says which parts the rules of a policy need.
//!
//! An expression follows a path with `.field`, `['field']`, `[0]` and the variable of a loop, and through the
//! lists that `filter` and `map` make. Where it does anything else with what it got to, it may look
//! at all of that, but for three things: `has` asks whether a field is there, and `size` and a loop
//! ask how many elements there are.

use std::collections::BTreeMap;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators,
};

use super::charge::appended;

/// A set of rules: a bit for each rule of a policy.
pub(in crate::policy) type Rules = u128;

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// The field of that name.
    Field(String),
    /// An element of a list, whichever it is.
    Element,
}

/// A part of a variable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    variable: String,
    steps: Vec<Step>,
}

impl Part {
    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

/// A part of a variable that an expression reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Read {
    part: Part,
    /// True for all of it; else only whether it is there.
    whole: bool,
}

/// What a part of an expression gives, as far as it is a part of a variable.
#[derive(Clone, Debug)]
enum Place {
    /// That part itself.
    Part(Part),
    /// A list of its own, each element of which is such a part: what `filter` and `map` make.
    List(Part),
}

impl Place {
    fn field(self, name: &str) -> Option<Self> {
        match self {
            Self::Part(part) => Some(Self::Part(part.then(Step::Field(name.to_owned())))),
            Self::List(_) => None,
        }
    }

    /// What each element is.
    fn element(self) -> Self {
        match self {
            Self::Part(part) => Self::Part(part.then(Step::Element)),
            Self::List(part) => Self::Part(part),
        }
    }
}

/// What an expression reads. Loops must not have been charged yet.
pub(super) fn reads(tree: &IdedExpr) -> Vec<Read> {
    let mut reader = Reader::default();
    reader.all_of(tree);
    reader.reads.sort_unstable();
    reader.reads.dedup_by(|again, kept| {
        let is_same = again.part == kept.part;
        kept.whole |= is_same && again.whole;
        is_same
    });
    reader.reads
}

#[derive(Default)]
struct Reader {
    /// The variables of the loops around, the innermost last, with what each stands for: none for
    /// what is no part of a variable, or all of which is read anyway.
    bound: Vec<(String, Option<Place>)>,
    reads: Vec<Read>,
}

impl Reader {
    /// All of what `tree` gives may be looked at.
    fn all_of(&mut self, tree: &IdedExpr) {
        if let Some(place) = self.place(tree) {
            self.whole(place);
        }
    }

    fn whole(&mut self, place: Place) {
        let (Place::Part(part) | Place::List(part)) = place;
        self.reads.push(Read { part, whole: true });
    }

    /// That something is there is asked for, and no more.
    fn asks_for(&mut self, place: Place) {
        let (Place::Part(part) | Place::List(part)) = place;
        self.reads.push(Read { part, whole: false });
    }

    /// Notes everything that `tree` reads to get to what it gives, and says where that is; none where it
    /// is no part of a variable.
    fn place(&mut self, tree: &IdedExpr) -> Option<Place> {
        match &tree.expr {
            Expr::Ident(name) => match self.bound.iter().rev().find(|(bound, _)| bound == name) {
                Some((_, place)) => return place.clone(),
                None => {
                    return Some(Place::Part(Part { variable: name.clone(), steps: Vec::new() }));
                }
            },
            Expr::Select(select) => {
                let field = self.step(&select.operand, |place| place.field(&select.field))?;
                if !select.test {
                    return Some(field);
                }
                self.asks_for(field);
            }
            Expr::Call(call) => return self.call(call),
            Expr::List(list) => list.elements.iter().for_each(|element| self.all_of(element)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.all_of(&entry.key);
                    self.all_of(&entry.value);
                }
                EntryExpr::StructField(field) => self.all_of(&field.value),
            }),
            Expr::Comprehension(looped) => return self.looped(looped),
            // Messages are refused when an expression is checked.
            Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
        }
        None
    }

    /// Where a step leads from what `tree` gives; where it leads nowhere, all of that may be looked at.
    fn step(
        &mut self,
        tree: &IdedExpr,
        step: impl FnOnce(Place) -> Option<Place>,
    ) -> Option<Place> {
        let place = self.place(tree)?;
        let next = step(place.clone());
        if next.is_none() {
            self.whole(place);
        }
        next
    }

    fn call(&mut self, call: &CallExpr) -> Option<Place> {
        let operands: Vec<_> =
            call.target.iter().map(|target| &**target).chain(&call.args).collect();
        match (call.func_name.as_str(), operands.as_slice()) {
            ("size", [counted]) => {
                if let Some(place) = self.place(counted) {
                    self.asks_for(place.element());
                }
                return None;
            }
            (operators::INDEX, [inner, index]) => match &index.expr {
                Expr::Literal(LiteralValue::String(key)) => {
                    return self.step(inner, |place| place.field(key.inner()));
                }
                Expr::Literal(LiteralValue::Int(_)) => {
                    return self.step(inner, |place| Some(place.element()));
                }
                _ => {}
            },
            _ => {}
        }
        for operand in operands {
            self.all_of(operand);
        }
        None
    }

    fn looped(&mut self, looped: &ComprehensionExpr) -> Option<Place> {
        let mut range = self.place(&looped.iter_range);
        // Nothing makes a second variable today: what both stand for is not worked out.
        if looped.iter_var2.is_some()
            && let Some(place) = range.take()
        {
            self.whole(place);
        }
        let element = range.map(Place::element);
        if let Some(element) = &element {
            self.asks_for(element.clone());
        }
        self.all_of(&looped.accu_init);
        let before = self.bound.len();
        self.bound.push((looped.iter_var.clone(), element));
        let others = looped.iter_var2.iter().chain([&looped.accu_var]);
        self.bound.extend(others.map(|name| (name.clone(), None)));
        let made = if let Some(appended) = appended(looped) {
            if let Some(guard) = appended.guard {
                self.all_of(guard);
            }
            self.place(appended.element)
        } else {
            for tree in [&looped.loop_cond, &looped.loop_step, &looped.result] {
                self.all_of(tree);
            }
            None
        };
        self.bound.truncate(before);
        match made? {
            Place::Part(part) => {
                self.asks_for(Place::Part(part.clone()));
                Some(Place::List(part))
            }
            // A list of lists is looked at as a whole.
            list @ Place::List(_) => {
                self.whole(list);
                None
            }
        }
    }
}

/// What rules read of one variable.
#[derive(Clone, Debug, Default)]
pub(in crate::policy) struct Reads {
    /// Who asks for it at all, if only whether it is there.
    by: Rules,
    /// Who looks into it.
    inside: Rules,
    /// Who reads all of it.
    whole: Rules,
    fields: BTreeMap<String, Self>,
    /// What is read of each element, where it is a list.
    element: Option<Box<Self>>,
}

impl Reads {
    /// Adds what `reads` has of `variable`, for a rule.
    pub(super) fn add(&mut self, reads: &[Read], variable: &str, rule: Rules) {
        for Read { part, whole } in reads.iter().filter(|read| read.part.variable == variable) {
            let mut at = &mut *self;
            at.by |= rule;
            for step in &part.steps {
                at.inside |= rule;
                at = match step {
                    Step::Field(name) => at.fields.entry(name.clone()).or_default(),
                    Step::Element => &mut **at.element.get_or_insert_default(),
                };
                at.by |= rule;
            }
            if *whole {
                at.inside |= rule;
                at.whole |= rule;
            }
        }
    }

    /// True when one of `rules` looks into it: else it only has to be there.
    pub(super) fn is_looked_into(&self, rules: Rules) -> bool {
        self.inside & rules != 0
    }

    /// True when one of `rules` may look at all of it.
    pub(super) fn is_whole(&self, rules: Rules) -> bool {
        self.whole & rules != 0
    }

    /// What `rules` read of a field; none where they do not ask for it.
    pub(super) fn field(&self, name: &str, rules: Rules) -> Option<&Self> {
        self.fields.get(name).filter(|field| field.by & rules != 0)
    }

    /// What `rules` read of a field, where they read nothing else.
    pub(super) fn only_field(&self, name: &str, rules: Rules) -> Option<&Self> {
        let mut asked = self.fields.iter().filter(|(_, field)| field.by & rules != 0);
        let is_only =
            asked.next().is_some_and(|(first, _)| first == name) && asked.next().is_none();
        let is_more = self.is_whole(rules) || self.element(rules).is_some();
        self.field(name, rules).filter(|_| is_only && !is_more)
    }

    /// What `rules` read of each element; none where they ask for none.
    pub(super) fn element(&self, rules: Rules) -> Option<&Self> {
        self.element.as_deref().filter(|element| element.by & rules != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::cel::compile;

    /// What an expression reads: `a[].b` of each element, and `a?` only whether it is there.
    fn read_by(expression: &str) -> Vec<String> {
        let variables = ["object", "oldObject", "params"];
        let compiled = compile(expression, &variables);
        let reads = compiled.unwrap_or_else(|error| panic!("{expression}: {error:?}")).reads;
        let mut texts: Vec<String> = reads.iter().map(text).collect();
        texts.sort_unstable();
        texts
    }

    fn text(read: &Read) -> String {
        let steps = read.part.steps.iter().map(|step| match step {
            Step::Field(name) => format!(".{name}"),
            Step::Element => "[]".to_owned(),
        });
        let path: String = std::iter::once(read.part.variable.clone()).chain(steps).collect();
        if read.whole { path } else { path + "?" }
    }

    #[test]
    fn a_path_is_read_at_its_end() {
        for (expression, reads) in [
            ("object.a.b == 1", &["object.a.b"][..]),
            ("object['a'].b == 1", &["object.a.b"]),
            ("object.a[0].b == 1", &["object.a[].b"]),
            ("has(object.a.b)", &["object.a.b?"]),
            ("has(object['a'].b)", &["object.a.b?"]),
            ("size(object.a) == object.b.size()", &["object.a[]?", "object.b[]?"]),
            ("object.a + oldObject.a + params.x < 3", &["object.a", "oldObject.a", "params.x"]),
            ("object.a ? object.b : object.c", &["object.a", "object.b", "object.c"]),
            ("object.a.startsWith(object.b)", &["object.a", "object.b"]),
            ("[object.a] == [1] && {'k': object.b} == {}", &["object.a", "object.b"]),
            ("!object.a || -object.b < 0", &["object.a", "object.b"]),
            ("1 < 2", &[]),
        ] {
            assert_eq!(read_by(expression), reads, "{expression}");
        }
    }

    #[test]
    fn what_is_no_path_reads_all() {
        for (expression, reads) in [
            ("object == oldObject", &["object", "oldObject"][..]),
            ("object.a[object.b]", &["object.a", "object.b"]),
            ("object.a[1.0]", &["object.a"]),
            ("object.a[-1]", &["object.a[]"]),
            ("object.a[1u]", &["object.a"]),
            ("object.a[true].b", &["object.a"]),
            ("'x' in object.a", &["object.a"]),
            ("type(object.a) == map", &["map", "object.a"]),
            ("(true ? object.a : object.b).c", &["object.a", "object.b"]),
            ("has((true ? object.a : object.b).c)", &["object.a", "object.b"]),
            ("size(true ? object.a : object.b) == 1", &["object.a", "object.b"]),
            ("{'k': object.a}.k.b", &["object.a"]),
            ("[object.a][0].b", &["object.a"]),
            ("size(object) == 1", &["object[]?"]),
        ] {
            assert_eq!(read_by(expression), reads, "{expression}");
        }
    }

    #[test]
    fn a_loop_reads_what_its_variable_is_used_for() {
        for (expression, reads) in [
            ("object.a.all(x, x.b == 1)", &["object.a[].b", "object.a[]?"][..]),
            ("object.a.all(x, true)", &["object.a[]?"]),
            ("object.a.exists(x, has(x.b))", &["object.a[].b?", "object.a[]?"]),
            ("object.a.exists_one(x, x == 1)", &["object.a[]"]),
            ("object.a.map(x, x.b) == []", &["object.a[].b", "object.a[]?"]),
            ("object.a.map(x, x.c, x.b) == []", &["object.a[].b", "object.a[].c", "object.a[]?"]),
            ("object.a.filter(x, x.b).size() == 1", &["object.a[].b", "object.a[]?"]),
            (
                "object.a.filter(x, x.b).all(y, y.c)",
                &["object.a[].b", "object.a[].c", "object.a[]?"],
            ),
            ("object.a.filter(x, x.b)[0].c == 1", &["object.a[].b", "object.a[].c", "object.a[]?"]),
            ("object.a.filter(x, x.b) == []", &["object.a[]", "object.a[].b"]),
            ("object.a.filter(x, x.b)['c'] == 1", &["object.a[]", "object.a[].b"]),
            ("has(object.a.filter(x, x.b).c)", &["object.a[]", "object.a[].b"]),
            ("1 in object.a.filter(x, x.b)", &["object.a[]", "object.a[].b"]),
            ("object.a.map(x, x.b).size() == 1", &["object.a[].b?", "object.a[]?"]),
            (
                "object.a.map(x, x.b).all(y, y.c)",
                &["object.a[].b.c", "object.a[].b?", "object.a[]?"],
            ),
            (
                "object.a.map(x, x.b, x.c)[0].d",
                &["object.a[].b", "object.a[].c.d", "object.a[].c?", "object.a[]?"],
            ),
            ("object.a.map(x, string(x.b)).size() == 1", &["object.a[].b", "object.a[]?"]),
            ("object.a.map(x, object.b)[0].c", &["object.a[]?", "object.b.c", "object.b?"]),
            ("[1].map(x, object.b)[0].c", &["object.b.c", "object.b?"]),
            ("[1].filter(x, object.b)[0].c", &["object.b"]),
            (
                "object.a.filter(x, x.b).map(y, y.d).size() == 1",
                &["object.a[].b", "object.a[].d?", "object.a[]?"],
            ),
            (
                "object.a.all(x, x.b.all(y, y.c))",
                &["object.a[].b[].c", "object.a[].b[]?", "object.a[]?"],
            ),
            ("object.a.all(x, object.b[x])", &["object.a[]", "object.b"]),
            ("object.a[0].all(x, x.b)", &["object.a[][].b", "object.a[][]?"]),
            ("[object.a].all(x, x.b)", &["object.a"]),
            ("[1].all(x, object.a)", &["object.a"]),
            // The name of a variable stands for what is bound last.
            ("object.a.all(object, object.b)", &["object.a[].b", "object.a[]?"]),
            ("[1].all(object, object.b)", &[]),
            ("[1].all(object, true) && object.b", &["object.b"]),
            (
                "object.a.all(x, x.b.all(x, x.c) && x.d)",
                &["object.a[].b[].c", "object.a[].b[]?", "object.a[].d", "object.a[]?"],
            ),
        ] {
            assert_eq!(read_by(expression), reads, "{expression}");
        }
    }
}
