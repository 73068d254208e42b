//! What the loops of an expression cost.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators,
};

use super::TURN;

// Measured in units of about 5 microseconds.
/// What one `matches` costs: the pattern is compiled again.
const PATTERN: u64 = 20;
/// What it costs to copy 1 KiB of small values.
const COPY: u64 = 75;
/// What it costs to compare 1 KiB of them.
const COMPARE: u64 = 10;
/// What it costs to look through a text of 1 KiB.
const SEARCH: u64 = 4;

/// Lets every loop ask before it starts and before each turn.
///
/// Where the loop stops is the place for it; but a loop that appends is run without copying only
/// while that is a literal, so there the guard of the element asks.
pub(super) fn charge_loops(tree: &mut IdedExpr) {
    charge(tree, &[]);
}

/// `own` are the variables of the innermost loop around.
fn charge(tree: &mut IdedExpr, own: &[String]) {
    match &mut tree.expr {
        Expr::Select(select) => charge(&mut select.operand, own),
        Expr::Call(call) => {
            call.target.iter_mut().for_each(|target| charge(target, own));
            call.args.iter_mut().for_each(|argument| charge(argument, own));
        }
        Expr::List(list) => list.elements.iter_mut().for_each(|element| charge(element, own)),
        Expr::Comprehension(looped) => charge_loop(looped, own),
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| match &mut entry.expr {
            EntryExpr::MapEntry(entry) => {
                charge(&mut entry.key, own);
                charge(&mut entry.value, own);
            }
            EntryExpr::StructField(field) => charge(&mut field.value, own),
        }),
        Expr::Literal(_) | Expr::Ident(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}

fn charge_loop(looped: &mut ComprehensionExpr, around: &[String]) {
    let own: Vec<String> =
        std::iter::once(&looped.iter_var).chain(looped.iter_var2.as_ref()).cloned().collect();
    let mut cost = Cost { own: &own, ..Cost::default() };
    cost.add(&looped.loop_step);
    let appends = appended(looped);
    if appends.as_ref().is_some_and(|appended| is_copied(appended.element, &own)) {
        cost.scans = cost.scans.saturating_add(COPY);
    }
    let appends = appends.is_some();
    let turn = cost.turn();
    // Each element is copied for its turn. What loops over a part of an element copies, the loop
    // around has paid for: the elements do not overlap.
    let copied = if is_part_of(&looped.iter_range, around) { 0 } else { COPY };
    let start = ask(1, copied);
    charge(&mut looped.iter_range, around);
    charge(&mut looped.loop_step, &own);
    let range = std::mem::take(&mut looped.iter_range);
    looped.iter_range = if_else(start, range, never());
    if appends {
        guard_step(looped, turn);
    } else {
        let condition = std::mem::take(&mut looped.loop_cond);
        looped.loop_cond = if_else(turn, condition, never());
    }
}

/// The variable that charges so much, and so much for each KiB that can be read.
fn ask(fixed: u64, scans: u64) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Ident(format!("{TURN}{fixed} {scans}")) }
}

/// True for a field or an element of what a loop is at, such as `c.env[0]`.
fn is_part_of(tree: &IdedExpr, own: &[String]) -> bool {
    match &tree.expr {
        Expr::Ident(name) => own.contains(name),
        Expr::Select(select) => is_part_of(&select.operand, own),
        Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
            [part, index] => is_part_of(part, own) && is_constant(index),
            _ => false,
        },
        _ => false,
    }
}

fn is_constant(tree: &IdedExpr) -> bool {
    match &tree.expr {
        Expr::Literal(_) => true,
        Expr::List(list) => list.elements.iter().all(is_constant),
        _ => false,
    }
}

/// True where what a loop appends may be large in every turn.
fn is_copied(element: &IdedExpr, own: &[String]) -> bool {
    let is_value = |call: &CallExpr| {
        !matches!(call.func_name.as_str(), operators::CONDITIONAL | operators::INDEX | "string")
    };
    match &element.expr {
        Expr::Literal(_) => false,
        Expr::Call(call) if is_value(call) => false,
        _ => !is_part_of(element, own),
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
    constant(false)
}

pub(super) fn constant(value: bool) -> IdedExpr {
    let value = LiteralValue::Boolean(cel::common::types::CelBool::from(value));
    IdedExpr { id: 0, expr: Expr::Literal(value) }
}

/// What one turn of a loop costs at most, without the loops in it, which ask for themselves.
#[derive(Default)]
struct Cost<'c> {
    /// The variables of the loop.
    own: &'c [String],
    nodes: u64,
    patterns: u64,
    /// For each KiB that can be read, at worst in every turn.
    scans: u64,
}

impl Cost<'_> {
    fn add(&mut self, tree: &IdedExpr) {
        self.nodes = self.nodes.saturating_add(1);
        match &tree.expr {
            Expr::Select(select) => self.add(&select.operand),
            Expr::Call(call) => {
                self.call(call);
                call.target.iter().for_each(|target| self.add(target));
                call.args.iter().for_each(|argument| self.add(argument));
            }
            Expr::Comprehension(looped) => self.add(&looped.iter_range),
            Expr::List(list) => list.elements.iter().for_each(|element| self.add(element)),
            _ => {}
        }
    }

    fn call(&mut self, call: &CallExpr) {
        let scan = match call.func_name.as_str() {
            operators::EQUALS
            | operators::NOT_EQUALS
            | operators::IN
            | operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS => COMPARE,
            "contains" | "startsWith" | "endsWith" | "string" | "size" | "matches" => SEARCH,
            _ => return,
        };
        if call.func_name == "matches" {
            self.patterns = self.patterns.saturating_add(1);
        }
        // Parts of the elements do not overlap, so that all turns together look at them once; and
        // to compare with a constant takes no longer than that is.
        let operands = || call.target.iter().map(|target| &**target).chain(&call.args);
        let is_small = |tree: &IdedExpr| is_constant(tree) || is_part_of(tree, self.own);
        let is_free = operands().all(is_small) || (scan == COMPARE && operands().any(is_constant));
        if !is_free {
            self.scans = self.scans.saturating_add(scan);
        }
    }

    fn turn(&self) -> IdedExpr {
        let patterns = self.patterns.saturating_mul(PATTERN);
        let fixed = 1_u64.saturating_add(self.nodes.div_ceil(16)).saturating_add(patterns);
        ask(fixed, self.scans)
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
