//! Paths such as `object.spec.replicas`, looked up as one name; and those from the variable of a loop,
//! step by step.
//!
//! The interpreter takes a path for a name with dots in it first: it asks for `object.spec.replicas`, then
//! for `object.spec`, then for `object`, and puts each together anew. That is half of what a short
//! expression costs, and no variable has a dot in its name.

use cel::common::{
    ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators},
    types::CelString,
    value::{CowVal, Val},
};

use super::{Input, PATH};

/// A variable and the fields that lead on from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    variable: String,
    fields: Vec<String>,
}

/// Why a path leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost<'p> {
    /// There is no such variable.
    Variable(&'p str),
    /// There is no such field.
    Field(&'p str),
    /// Something has no fields.
    NoMap,
}

impl Path {
    /// What the path leads to.
    pub(super) fn follow<'p, 'i>(&'p self, input: &'i dyn Input) -> Result<&'i dyn Val, Lost<'p>> {
        let value = input.value(&self.variable).ok_or(Lost::Variable(&self.variable))?;
        self.fields.iter().try_fold(value, |value, field| {
            let map = value.as_indexer().ok_or(Lost::NoMap)?;
            match map.get(&CelString::from(field.as_str())) {
                Ok(CowVal::Borrowed(value)) => Ok(value),
                Err(cel::ExecutionError::NoSuchKey(_)) => Err(Lost::Field(field)),
                // A list is indexed with numbers; no value of ours makes what it holds.
                Ok(CowVal::Owned(_)) | Err(_) => Err(Lost::NoMap),
            }
        })
    }
}

/// Replaces every path from one of `variables` by a name, and every `c.field` from the variable of a loop
/// by `c['field']`, which is the same. Gives the paths in the order of their numbers.
pub(super) fn name_paths(tree: &mut IdedExpr, variables: &[String]) -> Vec<Path> {
    let mut namer = Namer { variables, bound: Vec::new(), paths: Vec::new() };
    namer.name(tree);
    namer.paths
}

struct Namer<'v> {
    variables: &'v [String],
    /// Variables of the loops around.
    bound: Vec<String>,
    paths: Vec<Path>,
}

impl Namer<'_> {
    fn name(&mut self, tree: &mut IdedExpr) {
        if let Some(path) = self.path(&tree.expr).filter(|path| !path.fields.is_empty()) {
            let known = self.paths.iter().position(|known| *known == path);
            let number = known.unwrap_or_else(|| {
                self.paths.push(path);
                self.paths.len().saturating_sub(1)
            });
            tree.expr = Expr::Ident(format!("{PATH}{number}"));
            return;
        }
        match &mut tree.expr {
            Expr::Select(select) => {
                self.name(&mut select.operand);
                if !select.test {
                    let field = CelString::from(std::mem::take(&mut select.field));
                    let field = Expr::Literal(LiteralValue::String(field));
                    let call = CallExpr {
                        func_name: operators::INDEX.to_owned(),
                        target: None,
                        args: vec![
                            std::mem::take(&mut select.operand),
                            IdedExpr { id: tree.id, expr: field },
                        ],
                    };
                    tree.expr = Expr::Call(call);
                }
            }
            Expr::Call(call) => {
                call.target.iter_mut().for_each(|target| self.name(target));
                call.args.iter_mut().for_each(|argument| self.name(argument));
            }
            Expr::List(list) => list.elements.iter_mut().for_each(|element| self.name(element)),
            Expr::Map(map) => map.entries.iter_mut().for_each(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.name(&mut entry.key);
                    self.name(&mut entry.value);
                }
                EntryExpr::StructField(field) => self.name(&mut field.value),
            }),
            Expr::Comprehension(looped) => {
                self.name(&mut looped.iter_range);
                self.name(&mut looped.accu_init);
                let names = [Some(&looped.iter_var), looped.iter_var2.as_ref()];
                let before = self.bound.len();
                self.bound.extend(names.into_iter().flatten().cloned());
                for tree in [&mut looped.loop_cond, &mut looped.loop_step, &mut looped.result] {
                    self.name(tree);
                }
                self.bound.truncate(before);
            }
            Expr::Literal(_) | Expr::Ident(_) | Expr::Struct(_) | Expr::Unspecified => {}
        }
    }

    fn path(&self, tree: &Expr) -> Option<Path> {
        match tree {
            Expr::Ident(name) if self.variables.contains(name) && !self.bound.contains(name) => {
                Some(Path { variable: name.clone(), fields: Vec::new() })
            }
            Expr::Select(select) if !select.test => {
                let mut path = self.path(&select.operand.expr)?;
                path.fields.push(select.field.clone());
                Some(path)
            }
            _ => None,
        }
    }
}
