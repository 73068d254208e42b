//! The change types of Liquibase, as statements that do the same.
//!
//! The statements use no name of the changelog. Where the text of a change decides what it does,
//! as the condition of a `delete` does, it is read as it stands.

use std::borrow::Cow;

use super::{tree::Node, with_holes};
use crate::detect::changes::sections::Holes;

/// What a change comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The same as these statements; its name stands first.
    Like(&'static str, Cow<'static, str>),
    /// A change to the tool's own bookkeeping.
    History(&'static str),
    /// Nothing in the database.
    Nothing,
}

/// A change type: its name, what it does, and what undoes it where Liquibase knows.
struct Type {
    name: &'static str,
    sql: &'static str,
    reverse: Option<&'static str>,
}

const fn reverts(name: &'static str, sql: &'static str, reverse: &'static str) -> Type {
    Type { name, sql, reverse: Some(reverse) }
}

const fn stays(name: &'static str, sql: &'static str) -> Type {
    Type { name, sql, reverse: None }
}

/// Types that always do the same. What each does and whether it reverts itself is in the reference
/// of change types of Liquibase's documentation.
const TYPES: &[Type] = &[
    stays("addAutoIncrement", "ALTER TABLE t ALTER COLUMN c TYPE bigint"),
    reverts(
        "addCheckConstraint",
        "ALTER TABLE t ADD CONSTRAINT k CHECK (c > 0)",
        "ALTER TABLE t DROP CONSTRAINT k",
    ),
    reverts(
        "addDefaultValue",
        "ALTER TABLE t ALTER COLUMN c SET DEFAULT 0",
        "ALTER TABLE t ALTER COLUMN c DROP DEFAULT",
    ),
    reverts(
        "addForeignKeyConstraint",
        "ALTER TABLE t ADD CONSTRAINT k FOREIGN KEY (c) REFERENCES u (c)",
        "ALTER TABLE t DROP CONSTRAINT k",
    ),
    reverts(
        "addLookupTable",
        "CREATE TABLE u AS SELECT DISTINCT c FROM t; \
         ALTER TABLE t ADD CONSTRAINT k FOREIGN KEY (c) REFERENCES u (c)",
        "ALTER TABLE t DROP CONSTRAINT k; DROP TABLE u",
    ),
    reverts(
        "addNotNullConstraint",
        "ALTER TABLE t ALTER COLUMN c SET NOT NULL",
        "ALTER TABLE t ALTER COLUMN c DROP NOT NULL",
    ),
    reverts(
        "addPrimaryKey",
        "ALTER TABLE t ADD CONSTRAINT k PRIMARY KEY (c)",
        "ALTER TABLE t DROP CONSTRAINT k",
    ),
    reverts(
        "addUniqueConstraint",
        "ALTER TABLE t ADD CONSTRAINT k UNIQUE (c)",
        "ALTER TABLE t DROP CONSTRAINT k",
    ),
    stays("alterSequence", "ALTER SEQUENCE s INCREMENT BY 1"),
    reverts("createIndex", "CREATE INDEX i ON t (c)", "DROP INDEX i"),
    reverts("createSequence", "CREATE SEQUENCE s", "DROP SEQUENCE s"),
    // A second name for something adds, as a view does.
    reverts("createSynonym", "CREATE VIEW v AS SELECT 1", "DROP VIEW v"),
    reverts("createTable", "CREATE TABLE t (c int)", "DROP TABLE t"),
    stays("disableCheckConstraint", "ALTER TABLE t DROP CONSTRAINT k"),
    stays("disableTrigger", "DROP TRIGGER g ON t"),
    stays("dropAllForeignKeyConstraints", "ALTER TABLE t DROP CONSTRAINT k"),
    stays("dropCheckConstraint", "ALTER TABLE t DROP CONSTRAINT k"),
    stays("dropColumn", "ALTER TABLE t DROP COLUMN c"),
    stays("dropDefaultValue", "ALTER TABLE t ALTER COLUMN c DROP DEFAULT"),
    stays("dropForeignKeyConstraint", "ALTER TABLE t DROP CONSTRAINT k"),
    stays("dropFunction", "DROP FUNCTION f"),
    stays("dropIndex", "DROP INDEX i"),
    reverts(
        "dropNotNullConstraint",
        "ALTER TABLE t ALTER COLUMN c DROP NOT NULL",
        "ALTER TABLE t ALTER COLUMN c SET NOT NULL",
    ),
    stays("dropPackage", "DROP FUNCTION f"),
    stays("dropPackageBody", "DROP FUNCTION f"),
    stays("dropPrimaryKey", "ALTER TABLE t DROP CONSTRAINT k"),
    stays("dropProcedure", "DROP PROCEDURE f"),
    stays("dropSequence", "DROP SEQUENCE s"),
    stays("dropSynonym", "DROP VIEW v"),
    stays("dropTable", "DROP TABLE t"),
    stays("dropTrigger", "DROP TRIGGER g ON t"),
    stays("dropUniqueConstraint", "ALTER TABLE t DROP CONSTRAINT k"),
    stays("dropView", "DROP VIEW v"),
    stays("enableCheckConstraint", "ALTER TABLE t ADD CONSTRAINT k CHECK (c > 0)"),
    stays("enableTrigger", "CREATE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f()"),
    stays("insert", "INSERT INTO t (c) VALUES (0)"),
    stays("loadData", "INSERT INTO t (c) VALUES (0)"),
    stays("loadUpdateData", "INSERT INTO t (c) VALUES (0); UPDATE t SET c = 0 WHERE c = 1"),
    stays("markUnused", "ALTER TABLE t DROP COLUMN c"),
    stays(
        "mergeColumns",
        "ALTER TABLE t ADD COLUMN d text; UPDATE t SET d = c; ALTER TABLE t DROP COLUMN c",
    ),
    stays("modifyDataType", "ALTER TABLE t ALTER COLUMN c TYPE bigint"),
    reverts(
        "renameColumn",
        "ALTER TABLE t RENAME COLUMN c TO d",
        "ALTER TABLE t RENAME COLUMN d TO c",
    ),
    reverts("renameSequence", "ALTER SEQUENCE s RENAME TO r", "ALTER SEQUENCE r RENAME TO s"),
    reverts("renameTable", "ALTER TABLE t RENAME TO u", "ALTER TABLE u RENAME TO t"),
    stays("renameTrigger", "ALTER TRIGGER g ON t RENAME TO h"),
    reverts("renameView", "ALTER VIEW v RENAME TO w", "ALTER VIEW w RENAME TO v"),
    stays("setColumnRemarks", "COMMENT ON COLUMN t.c IS ''"),
    stays("setTableRemarks", "COMMENT ON TABLE t IS ''"),
    // MongoDB's, as tables.
    reverts("createCollection", "CREATE TABLE t (c int)", "DROP TABLE t"),
    stays("dropCollection", "DROP TABLE t"),
    stays("insertMany", "INSERT INTO t (c) VALUES (0)"),
    stays("insertOne", "INSERT INTO t (c) VALUES (0)"),
];

/// What a change does; `None` when its type is in no list, or runs a program.
pub(super) fn change(node: &Node) -> Option<Effect> {
    let (name, sql) = match node.name.as_str() {
        "tagDatabase" => return Some(Effect::History("tagDatabase")),
        // They print, or they stop everything.
        "empty" | "output" | "stop" => return Some(Effect::Nothing),
        "addColumn" => ("addColumn", Cow::Owned(add_column(node))),
        "delete" => ("delete", Cow::Owned(format!("DELETE FROM t{}", condition(node)))),
        "update" => ("update", Cow::Owned(format!("UPDATE t SET c = 0{}", condition(node)))),
        "createView" => ("createView", Cow::Owned(create_view(node))),
        "createIndex" if node.is("unique", "true") => {
            ("createIndex", Cow::Borrowed("CREATE UNIQUE INDEX i ON t (c)"))
        }
        "addNotNullConstraint" if node.value("defaultNullValue").is_some() => (
            "addNotNullConstraint",
            Cow::Borrowed(
                "UPDATE t SET c = 0 WHERE c IS NULL; ALTER TABLE t ALTER COLUMN c SET NOT NULL",
            ),
        ),
        "dropColumn" | "dropTable" | "dropView" if node.is("cascadeConstraints", "true") => {
            let found = find(node)?;
            (found.name, Cow::Owned(format!("{} CASCADE", found.sql)))
        }
        _ => {
            let found = find(node)?;
            (found.name, Cow::Borrowed(found.sql))
        }
    };
    Some(Effect::Like(name, sql))
}

/// What Liquibase runs by itself to undo a change, where it knows how.
pub(super) fn reverse(node: &Node) -> Option<(&'static str, Cow<'static, str>)> {
    match node.name.as_str() {
        "addColumn" => Some(("addColumn", Cow::Borrowed("ALTER TABLE t DROP COLUMN c"))),
        "createView" => Some(("createView", Cow::Borrowed("DROP VIEW v"))),
        _ => {
            let found = find(node)?;
            Some((found.name, Cow::Borrowed(found.reverse?)))
        }
    }
}

fn find(node: &Node) -> Option<&'static Type> {
    TYPES.iter().find(|change| change.name == node.name)
}

/// True for changes that are statements themselves.
pub(super) fn holds_sql(name: &str) -> bool {
    name == "sql"
        || name.starts_with("create") && !text_keys(name).is_empty() && name != "createView"
}

/// True for changes whose text may stand in a file. The query of a view is no change of its own
/// there, unless the file says `CREATE` itself.
pub(super) fn may_name_a_file(node: &Node) -> bool {
    match node.name.as_str() {
        "sqlFile" => true,
        "createView" => node.is("fullDefinition", "true"),
        name => holds_sql(name),
    }
}

/// The keys under which a change may hold its text, where that is not simply inside it.
pub(super) fn text_keys(name: &str) -> &'static [&'static str] {
    match name {
        "sql" => &["sql"],
        "createView" => &["selectQuery"],
        "createProcedure" => &["procedureText", "procedureBody"],
        "createFunction" => &["functionText", "functionBody", "procedureText"],
        "createTrigger" => &["triggerText", "triggerBody", "procedureText"],
        "createPackage" => &["packageText", "procedureText"],
        "createPackageBody" => &["packageBodyText", "procedureText"],
        _ => &[],
    }
}

/// True for what describes a change set and is no change: keys of YAML among them.
pub(super) fn is_about_the_set(name: &str) -> bool {
    const ABOUT: [&str; 25] = [
        "id",
        "author",
        "comment",
        "comments",
        "context",
        "contextFilter",
        "contexts",
        "labels",
        "dbms",
        "runOnChange",
        "runAlways",
        "alwaysRun",
        "runInTransaction",
        "runOrder",
        "runWith",
        "runWithSpoolFile",
        "failOnError",
        "onValidationFail",
        "created",
        "ignore",
        "logicalFilePath",
        "filePath",
        "objectQuotingStrategy",
        "validCheckSum",
        "preConditions",
    ];
    ABOUT.contains(&name)
}

/// `ADD COLUMN` for each column, with what makes it dangerous.
fn add_column(node: &Node) -> String {
    let column = |column: &Node| {
        let constraints = column.child("constraints");
        let is = |name: &str, wanted: &str| constraints.is_some_and(|node| node.is(name, wanted));
        let has_default = column.attributes.iter().any(|(key, _)| key.starts_with("defaultValue"));
        let mut text = "ADD COLUMN c int".to_owned();
        if has_default {
            text.push_str(" DEFAULT 0");
        }
        if is("nullable", "false") {
            text.push_str(" NOT NULL");
        }
        if is("primaryKey", "true") {
            text.push_str(" PRIMARY KEY");
        } else if is("unique", "true") {
            text.push_str(" UNIQUE");
        }
        if constraints.is_some_and(|node| node.attribute("references").is_some()) {
            text.push_str(" REFERENCES u (c)");
        }
        text
    };
    let columns: Vec<String> = node.each("column", "columns").map(column).collect();
    let columns =
        if columns.is_empty() { "ADD COLUMN c int".to_owned() } else { columns.join(", ") };
    format!("ALTER TABLE t {columns}")
}

/// ` WHERE` and the condition as it stands; nothing when there is none.
fn condition(node: &Node) -> String {
    let text = node.value("where").unwrap_or_default().trim();
    if text.is_empty() {
        return String::new();
    }
    format!(" WHERE {}", with_holes(text, Holes::Dollar))
}

fn create_view(node: &Node) -> String {
    let query = node.value("selectQuery").unwrap_or(&node.text);
    let query = with_holes(query, Holes::Dollar);
    if node.is("fullDefinition", "true") {
        return query.into_owned();
    }
    let replaces = if node.is("replaceIfExists", "true") { "OR REPLACE " } else { "" };
    let query = if query.trim().is_empty() { "SELECT 1".into() } else { query };
    format!("CREATE {replaces}VIEW v AS {query}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{
        Operation,
        sql::{self, Class, Dialect},
    };

    /// What a change comes to: its greatest operation and class.
    fn worst(sql: &str) -> (Option<Operation>, Option<Class>) {
        let statements = sql::read(sql, Dialect::Postgresql);
        let class = statements.iter().map(|statement| statement.class).max();
        (sql::operation(&statements), class)
    }

    fn of(name: &str) -> (Option<Operation>, Option<Class>) {
        match change(&Node::new(name, 1)) {
            Some(Effect::Like(_, sql)) => worst(&sql),
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn every_change_type_is_understood() {
        for change_type in TYPES {
            let (operation, class) = of(change_type.name);
            assert_ne!(operation, Some(Operation::Unknown), "{}", change_type.name);
            assert_ne!(class, Some(Class::Unknown), "{}", change_type.name);
            if let Some(sql) = change_type.reverse {
                assert_ne!(worst(sql).1, Some(Class::Unknown), "{}", change_type.name);
            }
        }
    }

    #[test]
    fn what_destroys_is_destructive_and_what_adds_is_not() {
        for name in ["dropTable", "dropColumn", "dropCollection", "delete", "mergeColumns"] {
            assert_eq!(of(name).0, Some(Operation::Destructive), "{name}");
        }
        for name in ["createTable", "addColumn", "createView", "createSequence", "insert"] {
            assert!(of(name).0 < Some(Operation::Unknown), "{name}: {:?}", of(name));
        }
        for name in ["customChange", "executeCommand", "runCommand", "modifySql", "unheardOf"] {
            assert_eq!(change(&Node::new(name, 1)), None, "{name}");
        }
        assert_eq!(change(&Node::new("tagDatabase", 1)), Some(Effect::History("tagDatabase")));
        assert_eq!(change(&Node::new("output", 1)), Some(Effect::Nothing));
    }

    #[test]
    fn the_text_of_a_condition_counts() {
        for (condition, expected) in [
            (None, Operation::Destructive),
            (Some(""), Operation::Destructive),
            (Some("1 = 1"), Operation::Destructive),
            (Some("id = 1"), Operation::Data),
            (Some("id = 1; DROP TABLE t"), Operation::Destructive),
        ] {
            let mut node = Node::new("delete", 1);
            let condition = condition.map(|text| ("where".to_owned(), text.to_owned()));
            node.attributes.extend(condition);
            let Some(Effect::Like(_, sql)) = change(&node) else { panic!("a delete") };
            assert_eq!(worst(&sql).0, Some(expected), "{sql}");
        }
    }
}
