//! The waves as a diagram that GitHub and GitLab draw.

use std::fmt::Write as _;

use super::words;
use crate::{
    plan::{
        Stage,
        report::{PlannedRun, PlannedStep, Role, Wave},
    },
    render::text::plural,
};

/// The most waves that are drawn, and the most steps in one of them: beyond, nobody can read it, and
/// Mermaid gives up.
const MOST_WAVES: usize = 24;
const MOST_STEPS: usize = 8;
/// The longest label, in characters.
const LONGEST_LABEL: usize = 60;

/// A flowchart of a run, without the fences around it.
pub(super) fn flowchart(run: &PlannedRun) -> String {
    let mut text = "flowchart TD\n".to_owned();
    for wave in run.waves.iter().take(MOST_WAVES) {
        subgraph(&mut text, wave);
    }
    let drawn = |number: usize| number <= MOST_WAVES;
    for wave in run.waves.iter().filter(|wave| drawn(wave.number)) {
        let Some(before) = wave.number.checked_sub(1).filter(|before| *before > 0) else {
            continue;
        };
        let arrow = match (wave.stage, wave.after) {
            (Stage::OnFailure, _) => "-. if it fails .->",
            (_, Some(_)) => "-->",
            (_, None) => "-. does not wait .->",
        };
        let _ = writeln!(text, "  w{before} {arrow} w{}", wave.number);
    }
    let more = run.waves.len().saturating_sub(MOST_WAVES);
    if more > 0 {
        let _ =
            writeln!(text, "  w{MOST_WAVES} --> more[\"and {}\"]", plural(more, "wave", "waves"));
    }
    for (class, style) in [
        ("migration", "fill:#fff3cd,stroke:#b58900,color:#332701"),
        ("backup", "fill:#d1e7dd,stroke:#2e7d5b,color:#0a3622"),
        ("verification", "fill:#cfe2ff,stroke:#3366bb,color:#052c65"),
        ("wrong", "fill:#f8d7da,stroke:#b02a37,color:#58151c"),
    ] {
        let _ = writeln!(text, "  classDef {class} {style}");
    }
    text
}

fn subgraph(text: &mut String, wave: &Wave) {
    let _ = writeln!(text, "  subgraph w{}[\"{}\"]", wave.number, label(&wave.place()));
    let mut drawn: usize = 0;
    for step in wave.steps.iter().filter(|step| step.stands_out()).take(MOST_STEPS) {
        drawn = drawn.saturating_add(1);
        node(text, step);
    }
    let rest = wave.steps.len().saturating_sub(drawn);
    if rest > 0 {
        let objects = if drawn == 0 {
            label(&words::folded(wave.steps.iter()))
        } else {
            format!("and {}", plural(rest, "more object", "more objects"))
        };
        let _ = writeln!(text, "    o{}([\"{objects}\"])", wave.number);
    }
    text.push_str("  end\n");
}

fn node(text: &mut String, step: &PlannedStep) {
    let wrong = step.findings.iter().any(|found| found.effect == "deny");
    let class = match step.role {
        _ if wrong => ":::wrong",
        Role::Migration => ":::migration",
        Role::Backup => ":::backup",
        Role::Verification | Role::Check => ":::verification",
        _ => "",
    };
    let mut lines = format!("{}: {}", step.role.as_str(), label(&step.object.to_string()));
    if let Some(risk) = step.risk {
        let _ = write!(lines, "<br/>{}", risk.operation);
    }
    if wrong {
        lines.push_str("<br/>would be refused");
    }
    let _ = writeln!(text, "    s{}[\"{lines}\"]{class}", step.number);
}

/// A text that ends no label, starts no markup and no line: everything but letters, digits and a few
/// harmless signs is one of Mermaid's entities.
fn label(text: &str) -> String {
    let mut safe = String::new();
    for (count, char) in text.chars().enumerate() {
        if count == LONGEST_LABEL {
            safe.push('…');
            break;
        }
        match char {
            ' ' | '-' | '/' | '.' | ',' | '_' => safe.push(char),
            char if char.is_alphanumeric() => safe.push(char),
            char if char.is_control() => safe.push(' '),
            char => {
                let _ = write!(safe, "#{};", u32::from(char));
            }
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_label_ends_it() {
        let safe = label("a\"] --> b\n```\nclick s1 \"javascript:x\" <script> #quot; %%{init}%% é");
        for char in "\"[]<>`\n%{}:()".chars() {
            assert!(!safe.contains(char), "{char}: {safe}");
        }
        assert!(safe.starts_with("a#34;#93;"), "{safe}");
        assert_eq!(label("Job/app-db_1.0 é"), "Job/app-db_1.0 é");
        assert_eq!(label(&"x".repeat(100)).chars().count(), LONGEST_LABEL + 1);
    }
}
