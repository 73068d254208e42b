//! What the loops of an expression cost.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators,
};

use super::TURN;

/// What one `matches` costs in a loop: the pattern is compiled again.
const PATTERN_COST: u64 = 100;
/// Lets every loop ask for a turn before it takes one.
///
/// Where the loop stops is the place for it; but a loop that appends is run without copying only
/// while that is a literal, so there the guard of the element asks.
pub(super) fn charge_loops(tree: &mut IdedExpr) {
    match &mut tree.expr {
        Expr::Select(select) => charge_loops(&mut select.operand),
        Expr::Call(call) => {
            call.target.iter_mut().for_each(|target| charge_loops(target));
            call.args.iter_mut().for_each(charge_loops);
        }
        Expr::List(list) => list.elements.iter_mut().for_each(charge_loops),
        Expr::Comprehension(looped) => {
            let mut cost = Cost::default();
            cost.add(&looped.loop_step);
            let appends = appended(looped).is_some();
            if appends {
                cost.scans = cost.scans.saturating_add(1);
            }
            let turn = IdedExpr { id: 0, expr: Expr::Ident(cost.variable()) };
            charge_loops(&mut looped.iter_range);
            charge_loops(&mut looped.loop_step);
            if appends {
                guard_step(looped, turn);
            } else {
                let condition = std::mem::take(&mut looped.loop_cond);
                looped.loop_cond = if_else(turn, condition, never());
            }
        }
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| match &mut entry.expr {
            EntryExpr::MapEntry(entry) => {
                charge_loops(&mut entry.key);
                charge_loops(&mut entry.value);
            }
            EntryExpr::StructField(field) => charge_loops(&mut field.value),
        }),
        Expr::Literal(_) | Expr::Ident(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}

/// `accu + [x]` becomes `turn ? accu + [x] : accu`; what has a guard already gets both.
fn guard_step(looped: &mut ComprehensionExpr, turn: IdedExpr) {
    let accu = IdedExpr { id: 0, expr: Expr::Ident(looped.accu_var.clone()) };
    let step = std::mem::take(&mut looped.loop_step);
    looped.loop_step = match step.expr {
        Expr::Call(mut call) if call.func_name == operators::CONDITIONAL => {
            if let Some(guard) = call.args.first_mut() {
                let condition = std::mem::take(guard);
                *guard = if_else(turn, condition, never());
            }
            IdedExpr { id: step.id, expr: Expr::Call(call) }
        }
        expr => if_else(turn, IdedExpr { id: step.id, expr }, accu),
    };
}

fn if_else(condition: IdedExpr, then: IdedExpr, otherwise: IdedExpr) -> IdedExpr {
    let call = CallExpr {
        func_name: operators::CONDITIONAL.to_owned(),
        target: None,
        args: vec![condition, then, otherwise],
    };
    IdedExpr { id: 0, expr: Expr::Call(call) }
}

fn never() -> IdedExpr {
    let never = LiteralValue::Boolean(cel::common::types::CelBool::from(false));
    IdedExpr { id: 0, expr: Expr::Literal(never) }
}

/// What one turn of a loop costs at most, without the loops in it, which ask for themselves.
#[derive(Default)]
struct Cost {
    nodes: u64,
    patterns: u64,
    /// Operations that look through everything there is, at worst.
    scans: u64,
}

impl Cost {
    fn add(&mut self, tree: &IdedExpr) {
        self.nodes = self.nodes.saturating_add(1);
        match &tree.expr {
            Expr::Select(select) => self.add(&select.operand),
            Expr::Call(call) => {
                match call.func_name.as_str() {
                    operators::EQUALS
                    | operators::NOT_EQUALS
                    | operators::IN
                    | operators::LESS
                    | operators::LESS_EQUALS
                    | operators::GREATER
                    | operators::GREATER_EQUALS
                    | "contains"
                    | "startsWith"
                    | "endsWith"
                    | "string"
                    | "size" => self.scans = self.scans.saturating_add(1),
                    "matches" => {
                        self.scans = self.scans.saturating_add(1);
                        self.patterns = self.patterns.saturating_add(1);
                    }
                    _ => {}
                }
                call.target.iter().for_each(|target| self.add(target));
                call.args.iter().for_each(|argument| self.add(argument));
            }
            Expr::Comprehension(looped) => self.add(&looped.iter_range),
            Expr::List(list) => list.elements.iter().for_each(|element| self.add(element)),
            _ => {}
        }
    }

    fn variable(&self) -> String {
        let patterns = self.patterns.saturating_mul(PATTERN_COST);
        let fixed = 1_u64.saturating_add(self.nodes.div_ceil(16)).saturating_add(patterns);
        format!("{TURN}{fixed} {}", self.scans)
    }
}

/// What `map` and `filter` become: a loop that appends one element in each turn, perhaps guarded.
pub(super) struct Appended<'e> {
    pub(super) guard: Option<&'e IdedExpr>,
    pub(super) element: &'e IdedExpr,
}

pub(super) fn appended(looped: &ComprehensionExpr) -> Option<Appended<'_>> {
    let starts_empty =
        matches!(&looped.accu_init.expr, Expr::List(list) if list.elements.is_empty());
    let Expr::Call(step) = &looped.loop_step.expr else { return None };
    if !starts_empty {
        return None;
    }
    match (step.func_name.as_str(), step.args.as_slice()) {
        (operators::ADD, [_, list]) => Some(Appended { guard: None, element: only(list)? }),
        (operators::CONDITIONAL, [guard, taken, _]) => match &taken.expr {
            Expr::Call(CallExpr { args, .. }) => match args.as_slice() {
                [_, list] => Some(Appended { guard: Some(guard), element: only(list)? }),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// The only element of a list.
fn only(list: &IdedExpr) -> Option<&IdedExpr> {
    match &list.expr {
        Expr::List(list) => match list.elements.as_slice() {
            [element] => Some(element),
            _ => None,
        },
        _ => None,
    }
}

/// True for what `exists_one` becomes: `cond ? count + 1 : count`, starting from a number.
pub(super) fn is_count(looped: &ComprehensionExpr) -> bool {
    matches!(looped.accu_init.expr, Expr::Literal(LiteralValue::Int(_)))
}
