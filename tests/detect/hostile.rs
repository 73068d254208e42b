//! Scripts that are written to be hard to read.

use super::*;

/// What opens something, or starts something over.
const OPENERS: &[&str] = &[
    "(",
    "((",
    "$(",
    "$((",
    "{ ",
    "if ",
    "while ",
    "until x; do ",
    "case x in (",
    "`",
    "\\`",
    "[[ ! ",
    "[[ ( ",
    "${a",
    "${a:-",
    "\"$(",
    "\"${a:-",
    "f() { ",
    "function f ",
    "! ",
    "| ",
    "&& ",
    "<(",
    "<<A\n",
    "a=(",
    "$'",
    "a|",
    "a&&",
    "a;",
    "\\",
    "'",
    "\"",
    "#",
    "eval ",
    "sh -c ",
    "sh -c '",
    "exec ",
    "env ",
    "rails ",
    "psql -c ",
    "for i in ",
    "a=$a$a ",
    ";;",
    ")",
    "}",
    "x() (",
    "{ x; } | ",
    "$(a ",
    "alembic ",
];

/// Scripts that nest, repeat or grow as much as they can.
fn hostile_scripts() -> Vec<String> {
    let many = 100_000_usize;
    let mut scripts: Vec<String> =
        OPENERS.iter().map(|part| part.repeat(many.div_euclid(part.len()))).collect();
    scripts.push(format!("{} true {}", "(".repeat(50_000), ")".repeat(50_000)));
    scripts.push(format!("{} true {}", "{ ".repeat(30_000), "; }".repeat(30_000)));
    scripts.push(format!("a=xxxxxxxx; {} echo $a", "a=$a$a; ".repeat(10_000)));
    scripts.push("f() { f; f; }; f".to_owned());
    scripts.push("f() { g; g; }; g() { f; f; }; f; flyway migrate".to_owned());
    scripts.push(format!("{}x{}", "if a; then ".repeat(9_000), "; fi".repeat(9_000)));
    scripts
        .push("for i in 1 2 3 4 5 6 7 8; do ".repeat(30) + "flyway migrate" + &"; done".repeat(30));
    scripts
}

#[test]
fn no_script_exhausts_the_stack_or_takes_long() {
    let scripts = hostile_scripts();
    let started = std::time::Instant::now();
    std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(move || {
            for text in scripts {
                let json = job(&script(&text));
                let object = Object::parse(&json).unwrap();
                let began = std::time::Instant::now();
                drop(Detector::built_in().detect(&object, ConfigMaps::NONE));
                let start: String = text.chars().take(12).collect();
                assert!(began.elapsed().as_secs() < 20, "{start:?} took {:?}", began.elapsed());
            }
        })
        .unwrap()
        .join()
        .unwrap();
    assert!(started.elapsed().as_secs() < 120);
}

/// Whether the migration of a script was found by looking for words.
fn by_words(text: &str) -> bool {
    let json = job(&script(text));
    let object = Object::parse(&json).unwrap();
    let detections = Detector::built_in().detect(&object, ConfigMaps::NONE);
    detections.iter().any(|detection| detection.main.from_words)
}

#[test]
fn a_migration_in_an_unreadable_script_is_still_seen() {
    assert!(!by_words("flyway migrate"));
    let deep = format!("{} flyway migrate", "( ".repeat(500));
    let long = format!("flyway migrate\n{}", "true\n".repeat(60_000));
    for text in [deep.as_str(), long.as_str(), "flyway migrate 'unclosed", "flyway migrate )"] {
        let found = said(&script(text)).unwrap();
        assert_eq!((found.tool.as_str(), found.operation.as_str()), ("flyway", "unknown"));
    }
    // Nothing of this one can be read as a script, and that is said.
    assert!(by_words(&deep));
    // What a shell runs before it meets the mistake is read like any other.
    for text in ["flyway clean\n)", "f\\lyway clean\nfi", "flyway clean\n( 'unclosed"] {
        let found = said(&script(text)).unwrap();
        assert_eq!((found.tool.as_str(), found.operation.as_str()), ("flyway", "destructive"));
    }
}
