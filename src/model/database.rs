//! Which database a container works on, as far as its manifest tells.

use std::collections::BTreeSet;

use super::{Container, MountedSource, Object, annotation};

/// Words of names that speak of a database.
pub(crate) const DATABASE_WORDS: &[&str] = &[
    "cassandra",
    "clickhouse",
    "database",
    "databases",
    "datasource",
    "db",
    "dsn",
    "jdbc",
    "mariadb",
    "mongo",
    "mongodb",
    "mssql",
    "mysql",
    "oracle",
    "pghost",
    "postgres",
    "postgresql",
    "sqlalchemy",
    "sqlserver",
];

/// Names of variables that libpq and MySQL's client read, and tools that only know a database.
const DATABASE_VARIABLES: &[&str] = &["PGPASSWORD", "PGUSER", "PGSERVICE", "FLYWAY_", "LIQUIBASE_"];

/// A key of a Secret that a container takes its way into a database from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseSecret {
    /// Name of the Secret, in the namespace of the container.
    pub name: String,
    /// The key in it; none where the whole Secret is taken.
    pub key: Option<String>,
}

impl DatabaseSecret {
    /// True when both may be the same value: a whole Secret holds every key of it.
    pub fn overlaps(&self, other: &Self) -> bool {
        let keys = match (&self.key, &other.key) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        self.name == other.name && keys
    }
}

/// What a container takes its way into a database from: keys of Secrets in variables that are called
/// after a database, and whole Secrets that are.
pub fn database_secrets(container: &Container<'_>) -> BTreeSet<DatabaseSecret> {
    let variables = container.env.iter().filter_map(|variable| {
        let key = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
        let speaks = speaks_of_database(&variable.name) || speaks_of_database(&key.name);
        speaks
            .then(|| DatabaseSecret { name: key.name.to_string(), key: Some(key.key.to_string()) })
    });
    let whole = container.env_from.iter().filter_map(|source| match source.source() {
        Some(MountedSource::Secret(name)) if speaks_of_database(name) => {
            Some(DatabaseSecret { name: name.to_owned(), key: None })
        }
        _ => None,
    });
    variables.chain(whole).collect()
}

fn speaks_of_database(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let words = name.split(|char: char| !char.is_ascii_alphanumeric());
    words.map(str::to_ascii_lowercase).any(|word| DATABASE_WORDS.contains(&word.as_str()))
        || DATABASE_VARIABLES.iter().any(|start| upper.starts_with(start))
}

/// What tells one database from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    name: Name,
    /// `tidegate.dev/tenant`, where it is not empty: a part of the database of its own.
    tenant: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    /// `tidegate.dev/database`: the same name is the same database, in every namespace.
    Declared(String),
    /// What leads to it from a namespace: Secrets, and where it is if that stands in variables.
    Way { namespace: String, secrets: BTreeSet<DatabaseSecret>, location: Option<Location> },
}

/// Where a database is, as literal variables say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Location {
    /// Host, with the namespace where it is a name of the namespace's own.
    host: String,
    /// Name of the database on it.
    name: String,
}

impl Location {
    /// Where the variables of a container lead: a URL of a database in one of them, else a host and a name
    /// in two. Of a URL neither the user nor the password is read.
    fn of(container: &Container<'_>, namespace: &str) -> Option<Self> {
        let literal = || {
            let all = container.env.iter();
            all.filter_map(|variable| Some((variable.name.as_str(), variable.value.as_ref()?)))
        };
        let named = |ends: &[&str]| {
            literal().find_map(|(name, value)| {
                let name = name.to_ascii_uppercase();
                let value = value.as_str().trim();
                let fits = ends.iter().any(|end| name.ends_with(end)) && !value.contains('$');
                (fits && !value.is_empty()).then_some(value)
            })
        };
        let url = literal().find_map(|(_, value)| location_of_url(value.as_str()));
        let (host, name) = url.or_else(|| Some((named(HOSTS)?, named(NAMES)?)))?;
        // `db` of one namespace is not `db` of another; a name with dots is the same everywhere.
        let host = host.split_once(':').map_or(host, |(host, _)| host).to_ascii_lowercase();
        let host = if host.contains('.') { host } else { format!("{host}.{namespace}") };
        Some(Self { host, name: name.to_owned() })
    }
}

/// Ends of variables that name the host of a database.
const HOSTS: &[&str] = &["DB_HOST", "PGHOST", "DATABASE_HOST", "POSTGRES_HOST", "MYSQL_HOST"];
/// Ends of variables that name a database.
const NAMES: &[&str] = &[
    "DB_NAME",
    "PGDATABASE",
    "DATABASE_NAME",
    "POSTGRES_DB",
    "MYSQL_DATABASE",
    "DB_DATABASE",
    "POSTGRES_DATABASE",
];
/// Schemes of URLs that lead to a database.
const SCHEMES: &[&str] = &[
    "postgres",
    "postgresql",
    "mysql",
    "mariadb",
    "mongodb",
    "sqlserver",
    "clickhouse",
    "cockroachdb",
];

/// Host and name of the database that a URL leads to.
fn location_of_url(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.trim().split_once("://")?;
    // `jdbc:postgresql`, `postgresql+psycopg2`.
    let scheme = scheme.strip_prefix("jdbc:").unwrap_or(scheme);
    let scheme = scheme.split_once('+').map_or(scheme, |(scheme, _)| scheme);
    if !SCHEMES.contains(&scheme) {
        return None;
    }
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (authority, name) = rest.get(..end)?.split_once('/')?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // A password with a slash in it that nobody escaped ends up in the name.
    let known = |text: &str| !text.is_empty() && !text.contains(['$', '@', '/']);
    (known(host) && known(name)).then_some((host, name))
}

impl Database {
    /// The database that `object` declares, or that the Secrets of `containers` lead to; none where
    /// neither tells. `namespace` is the object's.
    pub fn of<'c>(
        object: &Object<'_>,
        namespace: &str,
        containers: impl Iterator<Item = &'c Container<'c>>,
    ) -> Option<Self> {
        let read = |key: &str| {
            let text = object.metadata.annotation(key).map(str::trim);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let name = if let Some(name) = read(annotation::DATABASE) {
            Name::Declared(name)
        } else {
            let (mut secrets, mut location) = (BTreeSet::new(), None);
            for container in containers {
                secrets.extend(database_secrets(container));
                location = location.or_else(|| Location::of(container, namespace));
            }
            if secrets.is_empty() && location.is_none() {
                return None;
            }
            Name::Way { namespace: namespace.to_owned(), secrets, location }
        };
        Some(Self { name, tenant: read(annotation::TENANT) })
    }

    /// A database by the name that `tidegate.dev/database` gives it.
    pub fn declared(name: impl Into<String>) -> Self {
        Self { name: Name::Declared(name.into()), tenant: None }
    }

    /// The part of it that `tidegate.dev/tenant` gives to a tenant.
    #[must_use]
    pub fn of_tenant(self, tenant: impl Into<String>) -> Self {
        Self { tenant: Some(tenant.into()), ..self }
    }

    /// Words that it goes by: two databases that have none in common are not known to be the same.
    pub fn words(&self) -> BTreeSet<String> {
        match &self.name {
            Name::Declared(name) => BTreeSet::from([name.clone()]),
            Name::Way { namespace, secrets, location } => {
                let secrets = secrets.iter().map(|secret| format!("{namespace}/{}", secret.name));
                let location = location.iter().map(|it| format!("{}//{}", it.host, it.name));
                secrets.chain(location).collect()
            }
        }
    }

    /// True when both are known to be different: by name, or by tenant.
    pub fn differs_from(&self, other: &Self) -> bool {
        let names = matches!(
            (&self.name, &other.name),
            (Name::Declared(one), Name::Declared(other)) if one != other
        );
        names || matches!((&self.tenant, &other.tenant), (Some(one), Some(other)) if one != other)
    }

    /// True when both are known to be the same: by name, by host and name, or by a Secret that both are
    /// reached with. One Secret may lead to all databases of a server: two names are two databases.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let same = match (&self.name, &other.name) {
            (Name::Declared(one), Name::Declared(other)) => one == other,
            (
                Name::Way { namespace, secrets, location },
                Name::Way { namespace: elsewhere, secrets: others, location: there },
            ) => {
                let shared = || {
                    let overlaps = |one: &DatabaseSecret| others.iter().any(|it| one.overlaps(it));
                    namespace == elsewhere && secrets.iter().any(overlaps)
                };
                match (location, there) {
                    (Some(one), Some(other)) if one.name != other.name => false,
                    (Some(one), Some(other)) => one.host == other.host || shared(),
                    _ => shared(),
                }
            }
            // A name and a Secret say nothing about each other.
            _ => false,
        };
        let apart =
            matches!((&self.tenant, &other.tenant), (Some(one), Some(other)) if one != other);
        same && !apart
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(annotations: &str, env: &str) -> Option<Database> {
        let json = format!(
            r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"annotations":{{{annotations}}}}},
               "spec":{{"template":{{"spec":{{"containers":[{{"name":"a",{env}}}]}}}}}}}}"#
        );
        let object = Object::parse(&json).unwrap();
        Database::of(&object, "shop", object.templates[0].containers.iter())
    }

    fn secret(variable: &str, name: &str, key: &str) -> String {
        format!(
            r#""env":[{{"name":"{variable}","valueFrom":{{"secretKeyRef":{{"name":"{name}","key":"{key}"}}}}}}]"#
        )
    }

    #[test]
    fn a_declared_name_is_the_same_everywhere_and_beats_secrets() {
        let by_name = database(r#""tidegate.dev/database":" orders ""#, &secret("DB", "s", "k"));
        assert!(by_name.unwrap().is_same_as(&Database::declared("orders")));
        assert!(!Database::declared("orders").is_same_as(&Database::declared("users")));
    }

    #[test]
    fn secrets_tell_as_far_as_they_are_called_after_a_database() {
        for (env, other, same) in [
            (secret("DATABASE_URL", "app", "url"), secret("DB_URL", "app", "url"), Some(true)),
            (secret("DATABASE_URL", "app", "url"), secret("DATABASE_URL", "app", "x"), Some(false)),
            (secret("DATABASE_URL", "app", "url"), secret("DATABASE_URL", "b", "url"), Some(false)),
            (secret("PGPASSWORD", "a", "k"), secret("URL", "app-db", "k"), Some(false)),
            (
                r#""envFrom":[{"secretRef":{"name":"app-db"}}]"#.into(),
                secret("X", "app-db", "k"),
                Some(true),
            ),
            (secret("STRIPE_KEY", "stripe", "key"), secret("DB", "app", "url"), None),
            (r#""image":"a""#.into(), secret("DB", "app", "url"), None),
        ] {
            let other = database("", &other).unwrap();
            assert_eq!(database("", &env).map(|one| one.is_same_as(&other)), same, "{env}");
        }
    }

    #[test]
    fn host_and_name_tell_where_no_secret_does() {
        let env = |pairs: &[(&str, &str)]| {
            let variables = pairs
                .iter()
                .map(|(name, value)| format!(r#"{{"name":"{name}","value":"{value}"}}"#));
            format!(r#""env":[{}]"#, variables.collect::<Vec<_>>().join(","))
        };
        let orders = database("", &env(&[("DB_HOST", "pg"), ("DB_NAME", "orders")])).unwrap();
        for (pairs, same) in [
            (&[("DATABASE_URL", "postgresql+asyncpg://u:p@pg:5432/orders?x=1")][..], true),
            (&[("SPRING_DATASOURCE_URL", "jdbc:postgresql://pg.shop/orders")], true),
            (&[("PGHOST", "PG"), ("PGDATABASE", "orders")], true),
            (&[("PGHOST", "pg"), ("PGDATABASE", "users")], false),
            (&[("PGHOST", "pg.example.com"), ("PGDATABASE", "orders")], false),
        ] {
            let other = database("", &env(pairs)).unwrap();
            assert_eq!(orders.is_same_as(&other), same, "{pairs:?}");
            assert_eq!(orders.words().is_disjoint(&other.words()), !same, "{pairs:?}");
        }
        for unknown in [
            &[("DATABASE_URL", "postgres://u:p@$(HOST)/orders")][..],
            &[("API_URL", "https://pg/orders")],
            &[("DATABASE_URL", "postgres://u:pass/word@pg/orders")],
            &[("DB_HOST", "pg")],
        ] {
            assert_eq!(database("", &env(unknown)), None, "{unknown:?}");
        }
        let secret = |name: &str| {
            let secret = r#""valueFrom":{"secretKeyRef":{"name":"pg-admin","key":"password"}}"#;
            let env = format!(
                r#""env":[{{"name":"PGPASSWORD",{secret}}},{{"name":"PGHOST","value":"pg"}},{{"name":"PGDATABASE","value":"{name}"}}]"#
            );
            database("", &env).unwrap()
        };
        assert!(!secret("a").is_same_as(&secret("b")), "one Secret, two databases");
        assert!(secret("a").is_same_as(&secret("a")));
    }

    #[test]
    fn two_tenants_do_not_meet() {
        let tenant = |name: &str| {
            let keys = format!(r#""tidegate.dev/database":"d","tidegate.dev/tenant":"{name}""#);
            database(&keys, r#""image":"a""#).unwrap()
        };
        assert!(!tenant("a").is_same_as(&tenant("b")));
        assert!(tenant("a").is_same_as(&tenant("a")));
        assert!(tenant("a").is_same_as(&Database::declared("d")), "who names no tenant means all");
    }
}
