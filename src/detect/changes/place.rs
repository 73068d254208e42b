//! Where a file stands among the others, by its name alone.

use super::{
    Convention, Opaque, flyway,
    sections::{Holes, Style},
};

/// Endings of files that are statements.
const SQL: [&str; 6] = ["sql", "ddl", "pgsql", "psql", "mysql", "cql"];

/// Endings of migrations that are programs.
const PROGRAMS: [&str; 22] = [
    "go", "js", "cjs", "mjs", "ts", "cts", "mts", "py", "rb", "java", "class", "jar", "kt",
    "groovy", "php", "rs", "cs", "pl", "ex", "exs", "scala", "fizz",
];

/// A file's place in the order of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place<'f> {
    pub(super) key: Key<'f>,
    pub(super) role: Role,
}

/// What is compared: the stage, the version, and then the name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key<'f> {
    stage: u8,
    version: Vec<Number<'f>>,
    name: &'f str,
}

impl<'f> Key<'f> {
    pub(super) fn new(stage: u8, version: Vec<Number<'f>>, name: &'f str) -> Self {
        Self { stage, version, name }
    }

    /// After everything that has a place.
    pub(super) fn last(path: &'f str) -> Self {
        Self::new(u8::MAX, Vec::new(), path)
    }
}

/// Digits of any length, compared by their value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number<'f> {
    length: usize,
    digits: &'f str,
}

impl<'f> Number<'f> {
    /// Takes the digits at the start of a text; `None` when there are none.
    pub(super) fn prefix(text: &'f str) -> Option<(Self, &'f str)> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, rest) = text.split_at_checked(end)?;
        let significant = digits.trim_start_matches('0');
        let number = Self { length: significant.len(), digits: significant };
        (!digits.is_empty()).then_some((number, rest))
    }
}

/// What a tool does with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// All of it runs up.
    Up(Holes),
    /// All of it runs down.
    Down(Holes),
    /// All of it runs in either direction.
    Always(Holes),
    /// Markers in it tell.
    Parts(Style, Holes),
    /// It runs up, whatever it is.
    OpaqueUp(Opaque),
    /// It runs down, whatever it is.
    OpaqueDown(Opaque),
    /// Whether and when it runs is not known.
    Opaque(Opaque),
}

/// Takes a path apart: the folders, the name, and what follows its last dot in lower case.
pub(super) fn parts(path: &str) -> (&str, &str, String) {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    (folders, name, ending.unwrap_or_default())
}

pub(super) fn is_sql(ending: &str) -> bool {
    SQL.contains(&ending)
}

pub(super) fn is_program(ending: &str) -> bool {
    PROGRAMS.contains(&ending)
}

/// The place of a file; `None` for what the tool passes over.
///
/// What is called `*.sql` and does not fit is opaque: prefixes and endings can be set to others,
/// so that it may run after all.
pub(super) fn place(convention: Convention, path: &str) -> Option<Place<'_>> {
    let (folders, name, ending) = parts(path);
    if path.split('/').any(|part| part.starts_with('.')) {
        // What Kubernetes itself puts into a volume, such as `..data`.
        return None;
    }
    let fitting = match convention {
        Convention::Flyway => return flyway::place(path),
        // Hasura has both: a folder a version, and a pair of files.
        Convention::Diesel => {
            in_folders(convention, folders, name).or_else(|| golang_migrate(name))
        }
        Convention::Prisma => in_folders(convention, folders, name),
        Convention::Graphile => graphile(folders, name, &ending),
        Convention::Grate => grate(folders, name, &ending),
        Convention::Refinery => refinery(name, &ending),
        Convention::Plain => {
            is_sql(&ending).then(|| Place { key: by_path(path), role: Role::Up(Holes::None) })
        }
        Convention::Mybatis => mybatis(name, &ending),
        // These look at the folder itself and at none below it, unless they are told to.
        Convention::NodePgMigrate => flat(convention, name, &ending),
        _ if !folders.is_empty() => return None,
        _ => flat(convention, name, &ending),
    };
    fitting.or_else(|| {
        let why = if is_sql(&ending) {
            Opaque::Name
        } else if is_program(&ending) {
            Opaque::Program
        } else {
            return None;
        };
        Some(Place { key: Key::last(path), role: Role::Opaque(why) })
    })
}

fn by_path(path: &str) -> Key<'_> {
    Key::new(0, Vec::new(), path)
}

/// Tools that look at one folder and go by a number in front.
fn flat<'f>(convention: Convention, name: &'f str, ending: &str) -> Option<Place<'f>> {
    let number = Number::prefix(name);
    let version = number.map(|(number, _)| number);
    let rest = number.map(|(_, rest)| rest).unwrap_or_default();
    let numbered = |role: Role| {
        let key = Key::new(0, vec![version?], name);
        Some(Place { key, role })
    };
    if !is_sql(ending) && convention != Convention::GolangMigrate {
        return None;
    }
    match convention {
        Convention::GolangMigrate => golang_migrate(name).filter(|_| rest.starts_with('_')),
        Convention::Sqlx => numbered(if name.ends_with(".down.sql") {
            Role::Down(Holes::None)
        } else {
            Role::Up(Holes::None)
        })
        .filter(|_| rest.starts_with('_')),
        Convention::NodePgMigrate => Some(Place {
            key: Key::new(0, version.into_iter().collect(), name),
            role: Role::Parts(Style::NodePg, Holes::None),
        }),
        Convention::Tern => {
            numbered(Role::Parts(Style::Tern, Holes::Braces)).filter(|_| rest.starts_with('_'))
        }
        Convention::Goose => {
            numbered(Role::Parts(Style::Goose, Holes::None)).filter(|_| rest.starts_with('_'))
        }
        // Dbmate sorts by name, also where versions differ in length.
        Convention::Dbmate => {
            version?;
            let role = Role::Parts(Style::Dbmate, Holes::None);
            Some(Place { key: by_path(name), role })
        }
        Convention::SqlMigrate => Some(Place {
            key: Key::new(u8::from(version.is_none()), version.into_iter().collect(), name),
            role: Role::Parts(Style::SqlMigrate, Holes::None),
        }),
        Convention::Atlas => {
            Some(Place { key: by_path(name), role: Role::Parts(Style::Atlas, Holes::None) })
        }
        Convention::Yoyo => Some(yoyo(name)),
        _ => None,
    }
}

/// `1_x.up.sql`; the last `.up.` or `.down.` counts, and any ending may follow it.
fn golang_migrate(name: &str) -> Option<Place<'_>> {
    let (version, _) = Number::prefix(name)?;
    let (up, down) = (name.rfind(".up."), name.rfind(".down."));
    let goes_up = match (up, down) {
        (None, None) => return None,
        (up, down) => up > down,
    };
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase())?;
    let role = match (is_sql(&ending), goes_up) {
        (true, true) => Role::Up(Holes::None),
        (true, false) => Role::Down(Holes::None),
        // MongoDB, Neo4j and others are given JSON or languages of their own.
        (false, true) => Role::OpaqueUp(Opaque::Program),
        (false, false) => Role::OpaqueDown(Opaque::Program),
    };
    Some(Place { key: Key::new(0, vec![version], name), role })
}

/// yoyo runs `post-apply.sql` after everything else.
fn yoyo(name: &str) -> Place<'_> {
    let role = if name.ends_with(".rollback.sql") {
        Role::Down(Holes::None)
    } else {
        Role::Up(Holes::None)
    };
    let stage = u8::from(name.starts_with("post-apply"));
    Place { key: Key::new(stage, Vec::new(), name), role }
}

/// `1_x/up.sql`, `1_x/down.sql` and `1_x/migration.sql`, at any depth.
fn in_folders<'f>(convention: Convention, folders: &'f str, name: &str) -> Option<Place<'f>> {
    let folder = folders.rsplit('/').next().filter(|folder| !folder.is_empty())?;
    let role = match (convention, name) {
        (Convention::Diesel, "up.sql") | (Convention::Prisma, "migration.sql") => {
            Role::Up(Holes::None)
        }
        (Convention::Diesel, "down.sql") => Role::Down(Holes::None),
        // Prisma does not run it; people do, with another command.
        (Convention::Prisma, "down.sql") => return Some(Place::never()),
        _ => return None,
    };
    Some(Place { key: Key::new(0, Vec::new(), folder), role }.at_numbers(folder))
}

impl<'f> Place<'f> {
    /// A file that is known and that the tool itself never runs.
    fn never() -> Self {
        Self { key: Key::default(), role: Role::OpaqueDown(Opaque::Computed) }
    }

    /// Sorts by all numbers at the start of a name, as in `2024-01-31-120000_x`.
    fn at_numbers(mut self, name: &'f str) -> Self {
        let mut rest = name;
        while let Some((number, after)) = Number::prefix(rest) {
            self.key.version.push(number);
            rest = after.strip_prefix('-').unwrap_or(after);
            if self.key.version.len() > 8 {
                break;
            }
        }
        self
    }
}

/// `V1__x.sql`; `U` stands for "unversioned" and runs forwards too.
fn refinery<'f>(name: &'f str, ending: &str) -> Option<Place<'f>> {
    let (version, rest) = Number::prefix(name.strip_prefix(['V', 'U'])?)?;
    let (minor, rest) = match rest.strip_prefix('.').and_then(Number::prefix) {
        Some((minor, rest)) => (Some(minor), rest),
        None => (None, rest),
    };
    let is_fitting = rest.starts_with("__") && is_sql(ending);
    let key = Key::new(0, std::iter::once(version).chain(minor).collect(), name);
    is_fitting.then_some(Place { key, role: Role::Up(Holes::None) })
}

/// `scripts/1_x.sql`; `bootstrap.sql` comes first, and `onabort.sql` after a failure.
fn mybatis<'f>(name: &'f str, ending: &str) -> Option<Place<'f>> {
    if !is_sql(ending) {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let whole =
        |stage: u8| Place { key: Key::new(stage, Vec::new(), name), role: Role::Up(Holes::Dollar) };
    match lower.as_str() {
        "bootstrap.sql" => return Some(whole(0)),
        "onabort.sql" => return Some(whole(2)),
        _ => {}
    }
    let (version, rest) = Number::prefix(name)?;
    let role = Role::Parts(Style::Mybatis, Holes::Dollar);
    rest.starts_with('_').then_some(Place { key: Key::new(1, vec![version], name), role })
}

/// `committed/000001.sql`, then what is being worked on.
fn graphile<'f>(folders: &'f str, name: &'f str, ending: &str) -> Option<Place<'f>> {
    let folder = folders.rsplit('/').next().unwrap_or_default();
    let role = Role::Parts(Style::Graphile, Holes::None);
    if !is_sql(ending) {
        return None;
    }
    match folder {
        "committed" => {
            let (version, _) = Number::prefix(name)?;
            Some(Place { key: Key::new(0, vec![version], name), role })
        }
        "current" => Some(Place { key: Key::new(1, Vec::new(), name), role }),
        _ if name == "current.sql" => Some(Place { key: Key::new(1, Vec::new(), name), role }),
        _ => None,
    }
}

/// The folders of grate and `RoundhousE` in the order in which they are run.
const GRATE: [&str; 15] = [
    "dropdatabase",
    "createdatabase",
    "beforemigration",
    "alterdatabase",
    "runaftercreatedatabase",
    "runbeforeup",
    "up",
    "runfirstafterup",
    "functions",
    "views",
    "sprocs",
    "triggers",
    "indexes",
    "runafterotheranytimescripts",
    "permissions",
];

fn grate<'f>(folders: &'f str, name: &'f str, ending: &str) -> Option<Place<'f>> {
    let first = folders.split('/').next().unwrap_or_default().to_ascii_lowercase();
    if !is_sql(ending) {
        return None;
    }
    if first == "down" {
        let role = Role::Down(Holes::Braces);
        return Some(Place { key: Key::new(0, Vec::new(), name), role });
    }
    let stage = match first.as_str() {
        "aftermigration" => Some(GRATE.len()),
        _ => GRATE.iter().position(|folder| *folder == first),
    };
    let stage = u8::try_from(stage?).ok()?;
    let key = Key::new(stage, Vec::new(), name);
    Some(Place { key, role: Role::Up(Holes::Braces) }.at_numbers(name))
}
