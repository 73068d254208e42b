//! What a scan of a cluster found, as text.

mod html;
mod human;
mod json;

use crate::{
    decision::Effect,
    render::{Checked, Counts, Entry, InputError, Located, Remark, Report},
    scan::{Found, Scan, Scanned},
    source::{Position, Span},
};

pub use html::html;
pub use human::{Human, human};
pub use json::{json, json_schema};

/// Where everything starts that stands in no file.
const START: Position = Position { line: 1, column: 1, offset: 0 };

/// A scan for code scanning: SARIF 2.1.0. Objects stand where files would:
/// `shop/Deployment/web`. With `enforced`, levels are those that findings would have if every policy
/// enforced.
pub fn sarif(scan: &Scan, enforced: bool) -> String {
    crate::render::sarif(&report(scan, enforced))
}

fn report(scan: &Scan, enforced: bool) -> Report {
    let objects = scan.objects.iter().enumerate();
    let objects =
        objects.map(|(number, it)| Entry::Object(Box::new(checked(number, it, enforced))));
    let unreadable = |message: &String| {
        let (file, message) = (String::from("cluster"), message.clone());
        Entry::Error(InputError { file, position: None, message })
    };
    let remarks = scan.exceptions.iter().map(|note| Remark {
        file: format!("{}/MigrationException/{}", note.namespace, note.name),
        line: 1,
        column: 1,
        warns: note.warns,
        message: note.message.clone(),
    });
    let mut report = Report::default();
    objects.chain(scan.errors.iter().map(unreadable)).for_each(|entry| report.add(entry));
    report.totals.counts = Counts { checked: scan.counts.judged, ..Counts::default() };
    report.totals.remarks = remarks.collect();
    report
}

fn checked(number: usize, object: &Scanned, enforced: bool) -> Checked {
    let namespace = (!object.namespace.is_empty()).then(|| object.namespace.to_string());
    let home = namespace.as_deref().unwrap_or("cluster");
    Checked {
        number,
        file: format!("{home}/{}", object.subject()).into(),
        position: START,
        origin: None,
        api_version: object.api_version.clone(),
        kind: object.kind.clone(),
        namespace,
        name: object.name.clone(),
        policy: Some(object.policy.to_string()),
        outcome: object.outcome,
        filled_in: Vec::new(),
        findings: object.findings.iter().map(|found| located(found, object, enforced)).collect(),
    }
}

fn located(found: &Found, object: &Scanned, enforced: bool) -> Located {
    let now = found.effect.unwrap_or(Effect::Audits);
    let Found { rule, at, what, mend, .. } = found;
    Located {
        rule,
        level: found.level,
        effect: if enforced { found.enforced } else { now },
        path: at.clone(),
        place: at.clone(),
        evidence: found.evidence.clone(),
        what: what.clone(),
        mend: mend.clone(),
        message: format!("{rule}: {} {at}: {what}; {mend}", object.subject()),
        undecided: found.undecided,
        excuse: found.excuse.clone(),
        span: Span::at(START),
        excerpt: None,
        repair: None,
        fix: None,
    }
}
