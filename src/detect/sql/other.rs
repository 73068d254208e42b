//! The JavaScript of `mongosh` and Redis commands.

use super::reading::Reading;
use crate::detect::script::HOLE;

/// What the JavaScript of `mongosh` does, told by its calls.
pub(super) fn mongo(script: &str) -> Reading {
    let calls: String = script.chars().filter(|c| !c.is_whitespace()).collect();
    let has = |patterns: &[&str]| patterns.iter().any(|pattern| calls.contains(pattern));
    if has(&[
        ".dropDatabase(",
        "dropDatabase:",
        ".drop(",
        "{drop:",
        ".dropIndexes(",
        ".deleteMany({})",
        ".remove({})",
        ".renameCollection(",
        "renameCollection:",
        "convertToCapped",
        "$out",
        "$unset",
    ]) {
        Reading::destructive("script that drops")
    } else if has(&["load(", "require(", "child_process", "eval("]) || calls.contains(HOLE) {
        Reading::unknown("script that runs a text")
    } else if has(&[
        ".createCollection(",
        ".createView(",
        ".createIndex",
        ".ensureIndex(",
        ".dropIndex(",
        "collMod",
        "createIndexes:",
    ]) {
        Reading::additive("script that creates")
    } else if has(&[
        ".insert",
        ".update",
        ".delete",
        ".bulkWrite(",
        ".replaceOne(",
        ".remove(",
        ".findOneAnd",
        ".findAndModify(",
        "$merge",
        ".save(",
    ]) {
        Reading::data("script that writes")
    } else if has(&["rs.", "createUser", "grantRoles", "sh.", "updateUser", "changeUserPassword"]) {
        Reading::aside("script that sets up")
    } else {
        Reading::read_only("script")
    }
}

/// Redis commands that change values.
const WRITES: &[&str] = &[
    "SET",
    "SETEX",
    "SETNX",
    "PSETEX",
    "MSET",
    "MSETNX",
    "GETSET",
    "GETDEL",
    "APPEND",
    "INCR",
    "INCRBY",
    "INCRBYFLOAT",
    "DECR",
    "DECRBY",
    "SETRANGE",
    "SETBIT",
    "DEL",
    "UNLINK",
    "EXPIRE",
    "EXPIREAT",
    "PEXPIRE",
    "PEXPIREAT",
    "PERSIST",
    "RENAME",
    "RENAMENX",
    "MOVE",
    "COPY",
    "HSET",
    "HMSET",
    "HSETNX",
    "HDEL",
    "HINCRBY",
    "LPUSH",
    "RPUSH",
    "LPOP",
    "RPOP",
    "LREM",
    "LSET",
    "LTRIM",
    "SADD",
    "SREM",
    "SPOP",
    "SMOVE",
    "ZADD",
    "ZREM",
    "ZINCRBY",
    "ZREMRANGEBYRANK",
    "ZREMRANGEBYSCORE",
    "XADD",
    "XDEL",
    "XTRIM",
    "XGROUP",
    "PFADD",
    "GEOADD",
    "JSON.SET",
    "JSON.DEL",
    "RESTORE",
    "MIGRATE",
    "SORT",
    "PUBLISH",
];

/// What one Redis command does.
pub(super) fn redis(command: &str) -> Reading {
    let mut words = command.split_ascii_whitespace();
    let first = words.next().unwrap_or_default().to_ascii_uppercase();
    match first.as_str() {
        "FLUSHALL" | "FLUSHDB" | "SWAPDB" => Reading::destructive("command that empties"),
        "EVAL" | "EVALSHA" | "FCALL" => Reading::data("command that runs a text"),
        word if word.contains(HOLE) => Reading::unknown("command"),
        word if WRITES.contains(&word) => Reading::data("command that writes"),
        _ => Reading::read_only("command"),
    }
}
