//! Expressions in CEL, bounded: whatever an expression says and whatever an object holds, an
//! evaluation ends soon and takes little memory.
//!
//! The interpreter has no limit of its own, so there are three of ours:
//!
//! - When an expression is compiled: its length, its depth, how deep its loops nest, which functions
//!   it calls, and that a loop builds nothing larger than what it reads.
//! - When it is evaluated: the size of what it reads, and a budget. Every turn of a loop is charged
//!   for what it may do at most; a turn that the budget does not allow is an error.
//! - A panic inside the interpreter is an error too.
//!
//! What an expression reads of an object is worked out when it is compiled, so that nothing else of the
//! object is made into values.

mod charge;
mod check;
mod convert;
mod fields;
mod paths;
mod reads;
#[cfg(test)]
mod tests;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use cel::{
    Context, Env, ExecutionError, Value,
    common::{
        ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators},
        types::CelBool,
        value::{CowVal, Val},
    },
    context::VariableResolver,
    parser::PrattParser,
};

use paths::{Lost, Path};

pub(super) use convert::{read, read_by_field, value};
pub(super) use reads::{Reads, Rules};

/// Longest expression, in bytes.
pub(super) const LONGEST: usize = 4_096;
/// What the loops of one evaluation may cost, in units of about 5 microseconds.
const BUDGET: u64 = 60_000;
/// Prefix of the variable that charges a turn of a loop; no expression can spell it.
const TURN: &str = "@turn ";
/// Prefix of the name of a path, which is followed by its number; no expression can spell it.
const PATH: &str = "@path ";

/// Why something is not decided that reads a field of a text, a number or a list.
const NO_FIELDS: &str = "its expression reads a field of what has no fields";

/// Why something is not decided that combines what is not true or false.
const NO_TRUTH: &str = "its expression takes for a truth value what is none";

/// A compiled expression.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    /// As it is written.
    tree: IdedExpr,
    /// As it is evaluated: its loops are charged, its paths are names.
    program: IdedExpr,
    /// The paths of the program, by their numbers.
    paths: Vec<Path>,
    /// The variables that it reads.
    variables: Vec<String>,
    /// What it reads of them.
    reads: Vec<reads::Read>,
}

/// What is wrong with an expression, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CompileError {
    /// Line, from 1.
    pub(super) line: usize,
    /// Column, from 1, in characters.
    pub(super) column: usize,
    pub(super) message: String,
}

/// What an expression reads: each variable is made when it is asked for, at most once.
pub(super) trait Input: Send + Sync {
    /// The value of a variable.
    fn value(&self, name: &str) -> Option<&dyn Val>;
    /// How large everything is that can be read, in bytes of JSON.
    fn size(&self) -> usize;
}

/// Compiles `source`, in which `variables` may be read.
pub(super) fn compile(source: &str, variables: &[&str]) -> Result<Expression, CompileError> {
    let at_start = |message: String| CompileError { line: 1, column: 1, message };
    if source.trim().is_empty() {
        return Err(at_start("must not be empty".to_owned()));
    }
    if source.len() > LONGEST {
        return Err(at_start(format!("has more than {LONGEST} bytes")));
    }
    let parser = PrattParser::new().max_recursion_depth(48).error_recovery_limit(1);
    let parsed = catch_unwind(AssertUnwindSafe(|| parser.parse(source)));
    let tree = match parsed {
        Ok(Ok(tree)) => tree,
        Ok(Err(errors)) => return Err(syntax_error(&errors)),
        Err(_panic) => return Err(at_start("cannot be parsed".to_owned())),
    };
    let variables = check::check(source, variables, &tree)?;
    let reads = reads::reads(&tree);
    let mut program = tree.clone();
    charge::charge_loops(&mut program);
    plain_not(&mut program);
    let paths = paths::name_paths(&mut program, &variables);
    Ok(Expression { tree, program, paths, variables, reads })
}

/// Writes `!x` as `x ? false : true`: for `!` the interpreter makes an error first, which it then throws away.
fn plain_not(tree: &mut IdedExpr) {
    match &mut tree.expr {
        Expr::Select(select) => plain_not(&mut select.operand),
        Expr::Call(call) => {
            call.target.iter_mut().for_each(|target| plain_not(target));
            call.args.iter_mut().for_each(plain_not);
            if call.func_name == operators::LOGICAL_NOT && call.args.len() == 1 {
                operators::CONDITIONAL.clone_into(&mut call.func_name);
                call.args.extend([charge::constant(false), charge::constant(true)]);
            }
        }
        Expr::List(list) => list.elements.iter_mut().for_each(plain_not),
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| match &mut entry.expr {
            EntryExpr::MapEntry(entry) => {
                plain_not(&mut entry.key);
                plain_not(&mut entry.value);
            }
            EntryExpr::StructField(field) => plain_not(&mut field.value),
        }),
        Expr::Comprehension(looped) => {
            let ComprehensionExpr { iter_range, accu_init, loop_cond, loop_step, result, .. } =
                &mut **looped;
            [iter_range, accu_init, loop_cond, loop_step, result].into_iter().for_each(plain_not);
        }
        Expr::Literal(_) | Expr::Ident(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}

fn syntax_error(errors: &cel::ParseErrors) -> CompileError {
    let Some(error) = errors.errors.first() else {
        return CompileError { line: 1, column: 1, message: "cannot be parsed".to_owned() };
    };
    let (line, column) = error.pos;
    CompileError {
        line: usize::try_from(line).unwrap_or(1).max(1),
        column: usize::try_from(column).unwrap_or(1).max(1),
        message: error.msg.trim_start_matches("Syntax error: ").replace(['\n', '\r'], " "),
    }
}

impl Expression {
    /// True when it reads the variable.
    pub(super) fn reads(&self, variable: &str) -> bool {
        self.variables.iter().any(|read| read == variable)
    }

    /// Adds to `reads` what it reads of `variable`, for a rule.
    pub(super) fn add_reads(&self, variable: &str, rule: Rules, reads: &mut Reads) {
        reads.add(&self.reads, variable, rule);
    }

    /// True when everything that it reads of `variable` is one of `fields`, or inside one, such as
    /// `object.metadata.name`.
    pub(super) fn reads_only(&self, variable: &str, fields: &[&str]) -> bool {
        reads_only(&self.tree, variable, fields)
    }

    /// Whether what the expression says holds.
    ///
    /// # Errors
    ///
    /// Why that cannot be told: a clause that reads on after "because". It holds no value.
    pub(super) fn holds(&self, input: &dyn Input) -> Result<bool, String> {
        match self.evaluate(input)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(format!("its expression gives {} and no truth value", kind(&other))),
        }
    }

    /// The text that the expression makes.
    ///
    /// # Errors
    ///
    /// As [`holds`](Self::holds).
    pub(super) fn text(&self, input: &dyn Input) -> Result<String, String> {
        match self.evaluate(input)? {
            Value::String(text) => Ok(text.to_string()),
            other => Err(format!("its message expression gives {} and no text", kind(&other))),
        }
    }

    fn evaluate(&self, input: &dyn Input) -> Result<Value, String> {
        let variables = Variables {
            input,
            paths: &self.paths,
            kibibytes: u64::try_from(input.size().div_ceil(1_024)).unwrap_or(u64::MAX),
            left: AtomicU64::new(BUDGET),
            exhausted: AtomicU64::new(0),
            granted: CelBool::from(true),
        };
        let mut context = Context::with_env(Arc::clone(environment()));
        context.set_variable_resolver(&variables);
        let run = || Value::resolve(&self.program, &context);
        let result = catch_unwind(AssertUnwindSafe(run));
        // An error in a loop may have been overruled by what follows: the result is none all the
        // same, because not everything was looked at.
        if variables.exhausted.load(Ordering::Relaxed) > 0 {
            return Err("its expression takes too long on this object".to_owned());
        }
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.explain(&error, input)),
            Err(_panic) => Err("its expression cannot be evaluated on this object".to_owned()),
        }
    }

    /// What went wrong, without any value of the object.
    fn explain(&self, error: &ExecutionError, input: &dyn Input) -> String {
        match error {
            ExecutionError::UndeclaredReference(name) if name.starts_with(PATH) => {
                match numbered(&self.paths, name).map(|path| path.follow(input)) {
                    Some(Err(Lost::Variable(name))) => format!("`{name}` is not known"),
                    Some(Err(Lost::Field(key))) => {
                        format!("its expression reads `{key}`, which is not there")
                    }
                    _ => NO_FIELDS.to_owned(),
                }
            }
            // A key that the expression does not spell may have come out of the object.
            ExecutionError::NoSuchKey(key) if spells(&self.tree, key) => {
                format!("its expression reads `{key}`, which is not there")
            }
            ExecutionError::NoSuchKey(_) => "its expression reads a key that is not there".into(),
            ExecutionError::UndeclaredReference(name) if self.reads(name) => {
                format!("`{name}` is not known")
            }
            ExecutionError::IndexOutOfBounds(_) => {
                "its expression reads an element that is not there".to_owned()
            }
            ExecutionError::UnexpectedType { want, .. } if want == "bool" => NO_TRUTH.to_owned(),
            ExecutionError::NoSuchOverload(error)
                if matches!(
                    error.function(),
                    operators::LOGICAL_NOT | operators::LOGICAL_AND | operators::LOGICAL_OR
                ) =>
            {
                NO_TRUTH.to_owned()
            }
            ExecutionError::NoSuchOverload(error)
                if matches!(error.function(), operators::INDEX | "_._")
                    && error.argument_types().get(1).is_some_and(|index| index == "string") =>
            {
                NO_FIELDS.to_owned()
            }
            ExecutionError::NoSuchOverload(error) => {
                format!("its expression applies `{}` to what it is not for", error.function())
            }
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
                "its expression divides by zero".to_owned()
            }
            _ => "its expression fails on this object".to_owned(),
        }
    }
}

fn kind(value: &Value) -> String {
    format!("a value of type {}", value.type_of())
}

fn environment() -> &'static Arc<Env> {
    static ENVIRONMENT: OnceLock<Arc<Env>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| Arc::new(Env::default().with_optional_support(false).with_stdlib()))
}

/// The variables of one evaluation, and what its loops may still cost.
struct Variables<'i> {
    input: &'i dyn Input,
    paths: &'i [Path],
    kibibytes: u64,
    left: AtomicU64,
    /// How many turns were not allowed.
    exhausted: AtomicU64,
    /// What a turn gets that the budget allows.
    granted: CelBool,
}

impl VariableResolver for Variables<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        if !name.starts_with('@') {
            return self.input.value(name).map(CowVal::Borrowed);
        }
        match name.strip_prefix(TURN) {
            Some(cost) => self.turn(cost),
            None => numbered(self.paths, name)?.follow(self.input).ok().map(CowVal::Borrowed),
        }
    }
}

impl Variables<'_> {
    /// True while the budget lasts; then no such variable, which is an error.
    fn turn(&self, cost: &str) -> Option<CowVal<'_, '_>> {
        let (fixed, scans) = cost.split_once(' ')?;
        let (fixed, scans): (u64, u64) = (fixed.parse().ok()?, scans.parse().ok()?);
        let cost = fixed.saturating_add(scans.saturating_mul(self.kibibytes));
        // One thread evaluates: nobody else writes between the two.
        if let Some(left) = self.left.load(Ordering::Relaxed).checked_sub(cost) {
            self.left.store(left, Ordering::Relaxed);
            return Some(CowVal::Borrowed(&self.granted));
        }
        self.exhausted.fetch_add(1, Ordering::Relaxed);
        self.left.store(0, Ordering::Relaxed);
        None
    }
}

/// The path that is called so.
fn numbered<'p>(paths: &'p [Path], name: &str) -> Option<&'p Path> {
    paths.get(name.strip_prefix(PATH)?.parse::<usize>().ok()?)
}

/// True when the expression itself spells `key`: as a field or as a text.
fn spells(tree: &IdedExpr, key: &str) -> bool {
    match &tree.expr {
        Expr::Literal(LiteralValue::String(text)) => text.inner() == key,
        Expr::Select(select) => select.field == key || spells(&select.operand, key),
        Expr::Call(call) => {
            let mut operands = call.target.iter().map(|target| &**target).chain(&call.args);
            operands.any(|operand| spells(operand, key))
        }
        Expr::Comprehension(looped) => {
            [&looped.iter_range, &looped.loop_step].into_iter().any(|part| spells(part, key))
        }
        Expr::List(list) => list.elements.iter().any(|element| spells(element, key)),
        Expr::Map(map) => map.entries.iter().any(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => spells(&entry.key, key) || spells(&entry.value, key),
            EntryExpr::StructField(field) => spells(&field.value, key),
        }),
        _ => false,
    }
}

/// See [`Expression::reads_only`].
fn reads_only(tree: &IdedExpr, variable: &str, fields: &[&str]) -> bool {
    if path(tree).is_some_and(|path| fields.contains(&path.as_str())) {
        return true;
    }
    let inner = |tree: &IdedExpr| reads_only(tree, variable, fields);
    match &tree.expr {
        Expr::Ident(name) => name.trim_start_matches('.') != variable,
        Expr::Select(select) => inner(&select.operand),
        Expr::Call(call) => {
            call.target.iter().all(|target| inner(target)) && call.args.iter().all(inner)
        }
        Expr::List(list) => list.elements.iter().all(inner),
        Expr::Map(map) => map.entries.iter().all(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => inner(&entry.key) && inner(&entry.value),
            EntryExpr::StructField(field) => inner(&field.value),
        }),
        Expr::Comprehension(looped) => {
            [&looped.iter_range, &looped.accu_init, &looped.loop_cond, &looped.loop_step]
                .into_iter()
                .chain([&looped.result])
                .all(inner)
        }
        Expr::Literal(_) => true,
        Expr::Struct(_) | Expr::Unspecified => false,
    }
}

/// `object.metadata.name` of the selections that spell it.
fn path(tree: &IdedExpr) -> Option<String> {
    match &tree.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) => Some(format!("{}.{}", path(&select.operand)?, select.field)),
        _ => None,
    }
}
