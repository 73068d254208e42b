//! What expressions read of a value, as far as their text tells before there is a value.
//!
//! `object.spec.replicas > 1` reads one field. To convert that field costs a small part of what it
//! costs to convert the object, so a [`Reads`] says which parts the rules of a policy need.
//!
//! An expression follows a path with `.field`, `['field']`, `[0]` and the variable of a loop. Where
//! it does anything else with what it got to, it may look at all of that, but for three things:
//! `has` asks whether a field is there, and `size` and a loop ask how many elements there are.

use std::collections::BTreeMap;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators,
};

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

/// What an expression reads. Loops must not have been charged yet.
pub(super) fn reads(tree: &IdedExpr) -> Vec<Read> {
    let mut reader = Reader::default();
    reader.all_of(tree);
    reader.reads.sort_unstable();
    reader.reads.dedup();
    reader.reads
}

#[derive(Default)]
struct Reader {
    /// The variables of the loops around, the innermost last, with the part that each stands for:
    /// none for what is no part of a variable, or all of which is read anyway.
    bound: Vec<(String, Option<Part>)>,
    reads: Vec<Read>,
}

impl Reader {
    /// All of what `tree` gives may be looked at.
    fn all_of(&mut self, tree: &IdedExpr) {
        match self.part(tree) {
            Some(part) => self.reads.push(Read { part, whole: true }),
            None => self.operands(tree),
        }
    }

    /// What `tree`, which is no path, is made of.
    fn operands(&mut self, tree: &IdedExpr) {
        match &tree.expr {
            Expr::Select(select) => match self.part(&select.operand) {
                Some(part) if select.test => self.asks_for(part, Step::Field(select.field.clone())),
                _ => self.all_of(&select.operand),
            },
            Expr::Call(call) => self.call(call),
            Expr::List(list) => list.elements.iter().for_each(|element| self.all_of(element)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.all_of(&entry.key);
                    self.all_of(&entry.value);
                }
                EntryExpr::StructField(field) => self.all_of(&field.value),
            }),
            Expr::Comprehension(looped) => self.looped(looped),
            // Messages are refused when an expression is checked.
            Expr::Literal(_) | Expr::Ident(_) | Expr::Struct(_) | Expr::Unspecified => {}
        }
    }

    fn call(&mut self, call: &CallExpr) {
        let operands = || call.target.iter().map(|target| &**target).chain(&call.args);
        if let ("size", Some(operand), 1) =
            (call.func_name.as_str(), operands().next(), operands().count())
            && let Some(part) = self.part(operand)
        {
            return self.asks_for(part, Step::Element);
        }
        operands().for_each(|operand| self.all_of(operand));
    }

    fn looped(&mut self, looped: &ComprehensionExpr) {
        // Nothing makes a second variable today: what both stand for is not worked out.
        let range = self.part(&looped.iter_range).filter(|_| looped.iter_var2.is_none());
        match range.clone() {
            Some(part) => self.asks_for(part, Step::Element),
            None => self.all_of(&looped.iter_range),
        }
        self.all_of(&looped.accu_init);
        let before = self.bound.len();
        let element = range.map(|part| part.then(Step::Element));
        self.bound.push((looped.iter_var.clone(), element));
        let others = looped.iter_var2.iter().chain([&looped.accu_var]);
        self.bound.extend(others.map(|name| (name.clone(), None)));
        for tree in [&looped.loop_cond, &looped.loop_step, &looped.result] {
            self.all_of(tree);
        }
        self.bound.truncate(before);
    }

    fn asks_for(&mut self, part: Part, step: Step) {
        self.reads.push(Read { part: part.then(step), whole: false });
    }

    /// The part of a variable that a path leads to.
    fn part(&self, tree: &IdedExpr) -> Option<Part> {
        match &tree.expr {
            Expr::Ident(name) => match self.bound.iter().rev().find(|(bound, _)| bound == name) {
                Some((_, part)) => part.clone(),
                None => Some(Part { variable: name.clone(), steps: Vec::new() }),
            },
            Expr::Select(select) if !select.test => {
                Some(self.part(&select.operand)?.then(Step::Field(select.field.clone())))
            }
            Expr::Call(call) if call.func_name == operators::INDEX => {
                let [inner, index] = call.args.as_slice() else { return None };
                let step = match &index.expr {
                    Expr::Literal(LiteralValue::String(key)) => Step::Field(key.inner().to_owned()),
                    Expr::Literal(LiteralValue::Int(_)) => Step::Element,
                    _ => return None,
                };
                Some(self.part(inner)?.then(step))
            }
            _ => None,
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
            ("object.a.exists_one(x, x == 1)", &["object.a[]", "object.a[]?"]),
            ("object.a.map(x, x.b) == []", &["object.a[].b", "object.a[]?"]),
            ("object.a.map(x, x.c, x.b) == []", &["object.a[].b", "object.a[].c", "object.a[]?"]),
            ("object.a.filter(x, x.b).size() == 1", &["object.a[]", "object.a[].b", "object.a[]?"]),
            ("object.a.filter(x, x.b).all(y, y.c)", &["object.a[]", "object.a[].b", "object.a[]?"]),
            (
                "object.a.all(x, x.b.all(y, y.c))",
                &["object.a[].b[].c", "object.a[].b[]?", "object.a[]?"],
            ),
            ("object.a.all(x, object.b[x])", &["object.a[]", "object.a[]?", "object.b"]),
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
