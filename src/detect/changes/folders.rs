//! Which folders a command reads, and what is in those that ConfigMaps show.

use compact_str::CompactString;

use super::Convention;
use crate::{
    detect::{
        Dialect, Migrations,
        files::{Files, Lookup, absolute},
        script::HOLE,
        state::Variables,
    },
    model::VolumeFile,
};

/// Stands among options for words that are paths.
const WORDS: &str = "<folder>";

/// Everything that may say where the files of a command are.
#[derive(Clone, Copy, Debug)]
pub(in crate::detect) struct Surroundings<'a, 'o> {
    /// The arguments of the command.
    pub(in crate::detect) args: &'a [CompactString],
    /// Variables that are set for this command alone.
    pub(in crate::detect) environment: &'a [(CompactString, CompactString)],
    /// The variables of the shell; `None` for a value that is not known.
    pub(in crate::detect) variables: &'a Variables,
    /// The working directory, where it is known.
    pub(in crate::detect) folder: Option<&'a str>,
    /// What is mounted.
    pub(in crate::detect) files: Files<'o>,
}

/// The folders of a command.
#[derive(Debug, Default)]
pub(super) struct Folders<'o> {
    /// Those that are shown, each with its files by their paths in it.
    pub(super) shown: Vec<Folder<'o>>,
    /// There are others, which are not.
    pub(super) is_part: bool,
}

/// A folder that ConfigMaps show wholly.
#[derive(Debug)]
pub(super) struct Folder<'o> {
    /// Its absolute path.
    pub(super) path: String,
    /// What its name says of the convention: `?format=goose`.
    pub(super) convention: Option<Convention>,
    pub(super) files: Vec<(String, VolumeFile<'o>)>,
}

/// What something that is named has as its value.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    /// Nobody names it.
    Not,
    /// These values.
    As(Vec<String>),
    /// It is named, and the value is not known.
    Hidden,
}

impl<'o> Folders<'o> {
    /// The folders that a command reads, as far as they are shown.
    pub(super) fn of(plan: &Migrations, around: &Surroundings<'_, 'o>) -> Self {
        let values = match around.said(plan, &plan.options, &plan.env) {
            Named::Hidden => return Self::default(),
            Named::As(values) => values,
            Named::Not => {
                let found = plan.default.iter().find_map(|path| around.folder(path, None));
                return Self { shown: found.into_iter().collect(), is_part: false };
            }
        };
        let mut folders = Self::default();
        for value in values.iter().flat_map(|value| value.split(',')) {
            let found =
                location(value).and_then(|(path, convention)| around.folder(path, convention));
            match found {
                Some(folder) => folders.shown.push(folder),
                None => folders.is_part = true,
            }
        }
        folders
    }

    /// The root changelog as it is named, and every folder that paths may begin in: the search
    /// path, or else the defaults, and what is around the changelog itself.
    pub(super) fn of_changelog(
        plan: &Migrations,
        around: &Surroundings<'_, 'o>,
    ) -> Option<(Self, String)> {
        let Named::As(roots) = around.said(plan, &plan.root, &plan.root) else { return None };
        let (root, _) = location(roots.last()?)?;
        let mut folders = Self::of(plan, around);
        let parent = root.rsplit_once('/').map_or("", |(parent, _)| parent);
        for path in [parent, "."] {
            let is_whole = !path.is_empty() && (path != "." || !root.starts_with('/'));
            let found = is_whole.then(|| around.folder(path, None)).flatten();
            let is_new = |new: &Folder<'_>| folders.shown.iter().all(|old| old.path != new.path);
            if let Some(folder) = found.filter(is_new) {
                folders.shown.push(folder);
            }
        }
        Some((folders, root.to_owned()))
    }
}

impl<'o> Surroundings<'_, 'o> {
    /// The values of options, or else of variables, or else of what the settings say.
    fn said(&self, plan: &Migrations, options: &[String], variables: &[String]) -> Named {
        let named = self.named(options, variables);
        if named != Named::Not {
            return named;
        }
        let files = match self.named(&plan.settings, &plan.settings) {
            Named::Hidden => return Named::Hidden,
            Named::As(files) => files,
            Named::Not => {
                let usual = plan.settings.iter().filter(|path| path.starts_with('/'));
                usual.filter(|path| self.may_be_there(path)).cloned().collect()
            }
        };
        for path in files.iter().flat_map(|path| path.split(',')) {
            let path = absolute(self.folder, path.trim());
            let Some(Lookup::Text(file)) = path.map(|path| self.files.file(&path)) else {
                return Named::Hidden;
            };
            let said = setting(file.text, options);
            if said != Named::Not {
                return said;
            }
        }
        Named::Not
    }

    /// Whether a file is mounted, or may be in what is mounted and not shown.
    fn may_be_there(&self, path: &str) -> bool {
        match self.files.file(path) {
            Lookup::Text(_) => true,
            Lookup::Absent => false,
            Lookup::Opaque => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                self.files.folder(folder).is_none()
            }
        }
    }

    /// The values of options, or else of variables.
    fn named(&self, options: &[String], variables: &[String]) -> Named {
        let takes_words = options.iter().any(|option| option == WORDS);
        let mut values = Vec::new();
        let mut args = self.args.iter();
        while let Some(arg) = args.next() {
            let value = match arg.split_once('=') {
                Some((name, value)) if options.iter().any(|option| option == name) => {
                    Some(value.to_owned())
                }
                _ if options.iter().any(|option| option == arg) => {
                    args.next().map(CompactString::to_string)
                }
                // A path among the words, of tools that are given no option for it.
                _ if takes_words && is_path(arg) => Some(arg.to_string()),
                _ => continue,
            };
            match value {
                Some(value) if value.is_empty() => {}
                Some(value) if !value.contains(HOLE) => values.push(value),
                _ => return Named::Hidden,
            }
        }
        if !values.is_empty() {
            return Named::As(values);
        }
        let mut named = variables.iter().map(|name| self.variable(name));
        named.find(|value| *value != Named::Not).unwrap_or(Named::Not)
    }

    /// The value of a variable; an empty one is as good as none.
    fn variable(&self, name: &str) -> Named {
        let own = self.environment.iter().rev().find(|(key, _)| key == name);
        let value = match own {
            Some((_, value)) => Some(value.as_str()),
            None => match self.variables.get(name) {
                Some(value) => value.as_deref(),
                None => return Named::Not,
            },
        };
        match value {
            Some("") => Named::Not,
            Some(value) if !value.contains(HOLE) => Named::As(vec![value.to_owned()]),
            _ => Named::Hidden,
        }
    }

    /// What is in a folder, if it is shown. A relative path counts from the working directory; where
    /// that is the image's own, as the one mount whose path ends so.
    fn folder(&self, path: &str, convention: Option<Convention>) -> Option<Folder<'o>> {
        let path = match absolute(self.folder, path) {
            Some(path) => path,
            None if self.folder.is_none() => self.files.only_mount(path)?,
            None => return None,
        };
        let files = self.files.folder(&path)?;
        Some(Folder { path, convention, files })
    }

    /// The language of the database that a command talks to, as its addresses say; nothing of them
    /// is kept.
    pub(super) fn dialect(&self) -> Dialect {
        let args = self.args.iter().map(CompactString::as_str);
        let set = self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let shell = self.variables.iter();
        let shell = shell.filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)));
        let is_telling = |name: &str| {
            let name = name.to_ascii_uppercase();
            ["URL", "URI", "DSN", "DBSTRING", "DRIVER", "DATABASE", "TARGET"]
                .iter()
                .any(|ending| name.ends_with(ending))
        };
        let variables = set.chain(shell).filter(|(name, _)| is_telling(name));
        let in_args = only(args.filter_map(spoken));
        // A container knows many addresses; the command's own come first.
        in_args
            .or_else(|| only(variables.filter_map(|(_, value)| spoken(value))))
            .unwrap_or_default()
    }
}

/// True for a word that is a path, and no option and no address of a database.
fn is_path(word: &str) -> bool {
    word.contains('/') && !word.starts_with('-') && !word.contains("://")
}

/// What settings say of one of some keys, in lines of `key = value` or `key: value`. Several values
/// are for several environments, of which nothing is known.
fn setting(text: &str, keys: &[String]) -> Named {
    let values = text.lines().filter_map(|line| {
        let (key, value) = line.split_once(['=', ':'])?;
        let key = key.trim().trim_matches('"');
        let value = value.trim().trim_matches(['[', ']', '"', '\'']);
        (keys.iter().any(|wanted| wanted == key) && !value.is_empty()).then_some(value)
    });
    let mut values = values.peekable();
    if values.peek().is_none() {
        return Named::Not;
    }
    only(values).map_or(Named::Hidden, |value| Named::As(vec![value.to_owned()]))
}

/// The one thing that all of them are.
fn only<T: PartialEq>(mut found: impl Iterator<Item = T>) -> Option<T> {
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

/// The language that an address, or the name of a driver, stands for.
fn spoken(text: &str) -> Option<Dialect> {
    let value = match text.split_once('=') {
        Some((option, value)) if option.starts_with('-') => value,
        _ => text,
    };
    let value = value.strip_prefix("jdbc:").or_else(|| value.strip_prefix("db:")).unwrap_or(value);
    let end = value.find([':', '+']).unwrap_or(value.len());
    match value.get(..end)? {
        "postgres" | "postgresql" | "pg" | "pgx" | "pgx5" | "cockroach" | "cockroachdb"
        | "yugabyte" | "yugabytedb" | "redshift" => Some(Dialect::Postgresql),
        "mysql" | "mariadb" | "tidb" | "vitess" => Some(Dialect::Mysql),
        "sqlite" | "sqlite3" => Some(Dialect::Sqlite),
        "sqlserver" | "mssql" => Some(Dialect::SqlServer),
        "oracle" => Some(Dialect::Oracle),
        "clickhouse" => Some(Dialect::Clickhouse),
        "cassandra" | "scylla" => Some(Dialect::Cql),
        _ => None,
    }
}

/// A folder as a tool is given it: a path, and the convention that the address asks for. `None` for
/// what is no folder of the container.
fn location(value: &str) -> Option<(&str, Option<Convention>)> {
    let value = value.trim().trim_matches(['"', '\'']);
    let value = value.strip_prefix("filesystem:").unwrap_or(value);
    let value = value.strip_prefix("file:").unwrap_or(value);
    let value = value.strip_prefix("//").unwrap_or(value);
    let (path, query) = value.split_once('?').unwrap_or((value, ""));
    if path.is_empty() || path.contains([':', '*']) {
        return None;
    }
    let format = query.split('&').find_map(|pair| pair.strip_prefix("format="));
    let convention = match format {
        None | Some("atlas") => None,
        Some("golang-migrate") => Some(Convention::GolangMigrate),
        Some("goose") => Some(Convention::Goose),
        Some("flyway") => Some(Convention::Flyway),
        Some("dbmate") => Some(Convention::Dbmate),
        Some("liquibase") => Some(Convention::Liquibase),
        Some(_) => return None,
    };
    Some((path, convention))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_written_in_many_ways() {
        for (value, expected) in [
            ("/sql", Some("/sql")),
            ("filesystem:/sql", Some("/sql")),
            ("file:///sql", Some("/sql")),
            ("file://migrations", Some("migrations")),
            ("file:/sql", Some("/sql")),
            (" './sql' ", Some("./sql")),
            ("classpath:db/migration", None),
            ("s3://bucket/sql", None),
            ("filesystem:/sql/**/x", None),
            ("github://user:token@repository/sql", None),
            ("file://sql?format=unheard-of", None),
            ("", None),
        ] {
            assert_eq!(location(value).map(|(path, _)| path), expected, "{value}");
        }
        let goose = location("file:///sql?format=goose");
        assert_eq!(goose, Some(("/sql", Some(Convention::Goose))));
    }

    #[test]
    fn settings_are_lines_of_keys() {
        let keys = ["flyway.locations".to_owned(), "locations".to_owned()];
        for (text, expected) in [
            ("# flyway.locations=/no\nflyway.locations=filesystem:/sql", Some("filesystem:/sql")),
            ("[flyway]\nlocations = [\"filesystem:/a\"]\n", Some("filesystem:/a")),
            ("flyway.url=jdbc:x", None),
            ("flyway.locations=", None),
            ("locations: /a,/b", Some("/a,/b")),
            ("", None),
        ] {
            let expected = expected.map_or(Named::Not, |value| Named::As(vec![value.to_owned()]));
            assert_eq!(setting(text, &keys), expected, "{text}");
        }
        assert_eq!(setting("locations=/a\nlocations=/b", &keys), Named::Hidden);
    }

    #[test]
    fn an_address_tells_the_language() {
        for (text, expected) in [
            ("postgres://u:p@db/app", Some(Dialect::Postgresql)),
            ("-database=mysql://u:p@tcp(db)/app", Some(Dialect::Mysql)),
            ("-url=jdbc:sqlserver://db;databaseName=app", Some(Dialect::SqlServer)),
            ("db:pg://db/app", Some(Dialect::Postgresql)),
            ("jdbc:mariadb://db/app?a=b", Some(Dialect::Mysql)),
            ("postgres", Some(Dialect::Postgresql)),
            ("sqlite3", Some(Dialect::Sqlite)),
            ("host=db user=app", None),
            ("up", None),
            ("", None),
        ] {
            assert_eq!(spoken(text), expected, "{text}");
        }
    }
}
