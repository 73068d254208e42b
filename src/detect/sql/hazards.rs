//! What is dangerous about statements, by the codes of the linters that name it.

use super::{Class, Hazard};

/// Declares the hazards and the list of all of them.
macro_rules! hazards {
    ($($name:ident = $code:literal $also:expr, $class:ident, $reason:literal, $mend:literal;)*) => {
        $(pub(super) static $name: Hazard = Hazard {
            code: $code,
            also: &$also,
            class: Class::$class,
            reason: $reason,
            mend: $mend,
        };)*

        /// Every hazard, sorted by class and code.
        pub static HAZARDS: &[&Hazard] = &[$(&$name),*];
    };
}

hazards! {
    DROP_COLUMN = "ban-drop-column" ["DS103"], Destructive,
        "the column's data is lost and code that still reads it fails",
        "drop it in a release after the one that stopped using it";
    DROP_DATABASE = "ban-drop-database" ["DS101"], Destructive,
        "everything in the database is lost",
        "leave it to an operator";
    DROP_SCHEMA = "ban-drop-schema" ["DS101"], Destructive,
        "everything in the schema is lost",
        "drop its objects one by one, in a release after the one that stopped using them";
    DROP_TABLE = "ban-drop-table" ["DS102"], Destructive,
        "the table's data is lost and code that still uses it fails",
        "drop it in a release after the one that stopped using it";
    TRUNCATE_CASCADE = "ban-truncate-cascade" [], Destructive,
        "every table that refers to this one is emptied too",
        "name the tables to be emptied";
    DROP_PARTITION = "dropping-partition" [], Destructive,
        "the rows of the partition are lost",
        "detach or archive the partition first";

    UNIQUE_INDEX = "MF101" [], Incompatible,
        "it fails where values repeat, and running code that writes repeated values fails afterwards",
        "remove repeated values and stop writing them first";
    NOT_NULLABLE = "adding-not-nullable-field" ["MF104", "PG303"], Incompatible,
        "running code that writes NULL fails, and the whole table is scanned under a lock",
        "add a CHECK (… IS NOT NULL) NOT VALID, validate it, then set NOT NULL";
    REQUIRED_FIELD = "adding-required-field" ["LT101", "MF103", "MY101"], Incompatible,
        "it fails where rows exist, and running code that does not fill the column fails afterwards",
        "add the column with a default or nullable, and require it in a later release";
    ROW_SECURITY = "ban-alter-row-level-security" [], Incompatible,
        "running code sees and writes other rows than before",
        "create the policies first and test them with the role of the application";
    DISABLE_TRIGGER = "ban-disable-trigger" [], Incompatible,
        "what the trigger keeps true no longer holds for writes that go on",
        "stop the writes first, or let the trigger tell when it has nothing to do";
    DROP_CONSTRAINT = "ban-drop-constraint" ["CD101"], Incompatible,
        "what the constraint kept true no longer holds",
        "drop it in a release after the one that stopped relying on it";
    DROP_DEFAULT = "ban-drop-default" [], Incompatible,
        "running code that leaves the column out writes NULL or fails",
        "drop it in a release after the one that always writes the column";
    DROP_DOMAIN = "ban-drop-domain" [], Incompatible,
        "running code that uses the domain fails",
        "drop it in a release after the one that stopped using it";
    DROP_EXTENSION = "ban-drop-extension" [], Incompatible,
        "running code that uses its functions and types fails",
        "drop it in a release after the one that stopped using it";
    DROP_FUNCTION = "ban-drop-function" [], Incompatible,
        "running code that calls it fails",
        "drop it in a release after the one that stopped calling it";
    DROP_EXPRESSION = "ban-drop-generated-expression" [], Incompatible,
        "the column is no longer computed, and running code does not write it",
        "write the column from the application before dropping the expression";
    DROP_NOT_NULL = "ban-drop-not-null" [], Incompatible,
        "running code may read NULL where it never did",
        "release code that reads NULL first";
    DROP_SEQUENCE = "ban-drop-sequence" [], Incompatible,
        "running code that draws from it fails, and its position is lost",
        "drop it in a release after the one that stopped using it";
    DROP_TYPE = "ban-drop-type" [], Incompatible,
        "running code that uses the type fails",
        "drop it in a release after the one that stopped using it";
    DROP_VIEW = "ban-drop-view" [], Incompatible,
        "running code that reads it fails",
        "drop it in a release after the one that stopped reading it";
    REVOKE = "ban-revoke" [], Incompatible,
        "running code loses a right that it may use",
        "revoke it in a release after the one that stopped using it";
    SET_SCHEMA = "ban-set-schema" [], Incompatible,
        "running code finds the object no longer under its name",
        "leave a view of the old name, or move it once no code uses the old name";
    CHANGE_TYPE = "changing-column-type" ["PG301"], Incompatible,
        "the table may be written anew under an exclusive lock, and running code reads another type",
        "add a column of the new type, fill it, and switch over in a later release";
    RENAME_COLUMN = "renaming-column" ["BC102"], Incompatible,
        "running code that uses the old name fails",
        "add a column of the new name, fill it, and drop the old one in a later release";
    RENAME_OBJECT = "renaming-object" [], Incompatible,
        "running code that uses the old name fails",
        "create the new name first, and drop the old one in a later release";
    RENAME_TABLE = "renaming-table" ["BC101"], Incompatible,
        "running code that uses the old name fails",
        "leave a view of the old name until no code uses it";

    DEFAULT_REWRITES = "adding-field-with-default" ["PG302"], Locking,
        "the whole table is written anew under an exclusive lock to compute the column",
        "add the column without it, then fill the rows in batches";
    FOREIGN_KEY = "adding-foreign-key-constraint" ["PG306"], Locking,
        "both tables are locked against writes while every row is checked",
        "add it NOT VALID and validate it in another statement";
    PRIMARY_KEY = "adding-serial-primary-key-field" ["PG104"], Locking,
        "the table is locked while the index of the key is built",
        "build a unique index concurrently, then add the key USING INDEX";
    DOMAIN_CONSTRAINT = "ban-alter-domain-with-add-constraint" [], Locking,
        "every table that uses the domain is scanned under a lock",
        "add it NOT VALID, or put the check on the tables";
    INDEX_IN_TRANSACTION = "ban-concurrent-index-creation-in-transaction" ["PG103"], Locking,
        "an index cannot be built concurrently inside a transaction, so the statement fails",
        "run it outside of BEGIN and COMMIT";
    CREATE_DOMAIN = "ban-create-domain-with-constraint" [], Locking,
        "a later change of its check scans every table that uses it under a lock",
        "put the check on the tables";
    NOT_VALIDATED = "constraint-missing-not-valid" ["PG305"], Locking,
        "the table is locked while every row is checked",
        "add it NOT VALID and validate it in another statement";
    UNIQUE_CONSTRAINT = "disallowed-unique-constraint" ["PG105"], Locking,
        "the table is locked while the index is built, and it fails where values repeat",
        "build a unique index concurrently, then add the constraint USING INDEX";
    LOCK_TABLE = "locking-table" [], Locking,
        "running code waits for the lock",
        "let the statements take the locks that they need, with LOCK=NONE or a lock timeout";
    REPACK = "prefer-repack" [], Locking,
        "the table is locked against reads and writes while it is written anew",
        "use pg_repack, or a plain VACUUM";
    INDEX_CREATION = "require-concurrent-index-creation" ["PG101"], Locking,
        "the table is locked against writes while the index is built",
        "build it CONCURRENTLY, or ONLINE where the database says so";
    INDEX_DELETION = "require-concurrent-index-deletion" ["PG102"], Locking,
        "the table is locked against reads and writes, behind every query that runs",
        "drop it CONCURRENTLY";
    DETACH_PARTITION = "require-concurrent-partition-detach" [], Locking,
        "the partitioned table is locked against reads and writes",
        "detach it CONCURRENTLY";
    REFRESH = "require-concurrent-refresh" [], Locking,
        "the view cannot be read while it is filled",
        "refresh it CONCURRENTLY";
    REINDEX = "require-concurrent-reindex" [], Locking,
        "the table is locked against writes while the index is built",
        "rebuild it CONCURRENTLY";
    REWRITE = "rewriting-table" [], Locking,
        "the whole table is written anew under a lock",
        "use an online schema change, or a window without traffic";
}
