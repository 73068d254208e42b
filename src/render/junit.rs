//! For CI systems: JUnit XML. Without times, so that the same input gives the same text.

use quick_junit::{
    NonSuccessKind, Report as Xml, SerializeError, TestCase, TestCaseStatus, TestSuite,
};

use super::{Checked, Entry, InputError, Located, Report, Severity, uri};

/// A report as JUnit XML: a suite for each file, a case for each object. What is refused fails the
/// case; what is only told is in its output; what could not be read is a case in error.
///
/// # Errors
///
/// When the text cannot be written to memory, which does not happen.
pub fn junit(report: &Report) -> Result<String, SerializeError> {
    let mut xml = Xml::new("tidegate check");
    let mut suite: Option<TestSuite> = None;
    for entry in &report.entries {
        let (file, case) = match entry {
            Entry::Object(object) => (&*object.file, object_case(object, report)),
            Entry::Error(error) => (error.file.as_str(), unreadable(error)),
        };
        let file = uri::plain(file);
        // The entries of a file stand together.
        if let Some(done) = suite.take_if(|suite| suite.name.as_str() != file) {
            xml.add_test_suite(done);
        }
        suite.get_or_insert_with(|| TestSuite::new(file)).add_test_case(case);
    }
    xml.add_test_suites(suite);
    xml.to_string()
}

fn object_case(object: &Checked, report: &Report) -> TestCase {
    let is_failure = |found: &&Located| Severity::from(found.effect) == Severity::Error;
    let failures: Vec<&Located> = object.findings.iter().filter(is_failure).collect();
    let status = match failures.first() {
        None => TestCaseStatus::success(),
        Some(first) => {
            let lines: Vec<String> = failures.iter().map(|found| line(object, found)).collect();
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(first.rule);
            status.set_message(match failures.len() {
                1 => first.message.clone(),
                count => format!("{} (and {} more)", first.message, count.saturating_sub(1)),
            });
            status.set_description(lines.join("\n"));
            status
        }
    };
    let mut xml = TestCase::new(object.subject(), status);
    xml.set_classname(object.namespace.as_deref().unwrap_or("cluster"));
    xml.extra.insert("file".into(), uri::plain(&object.file).into());
    xml.extra.insert("line".into(), object.position.line.to_string().into());
    let told = object.findings.iter().filter(|found| !is_failure(found));
    let told: Vec<String> = told
        .map(|found| {
            let word = Severity::from(found.effect).as_str();
            let excused = found.excused_by(report.totals.baseline.as_deref());
            let excused = excused.map(|why| format!(" ({why})")).unwrap_or_default();
            format!("{word}: {}{excused}", line(object, found))
        })
        .collect();
    if !told.is_empty() {
        xml.set_system_out(told.join("\n"));
    }
    xml
}

/// `file:line:column: rule: …`
fn line(object: &Checked, found: &Located) -> String {
    let start = found.span.start;
    format!("{}:{}:{}: {}", uri::plain(&object.file), start.line, start.column, found.message)
}

fn unreadable(error: &InputError) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type("unreadable-input");
    status.set_message(error.to_string());
    let place = error.position.map_or_else(String::new, |at| format!(" line {}", at.line));
    let mut xml = TestCase::new(format!("unreadable{place}"), status);
    xml.set_classname("unreadable");
    xml.extra.insert("file".into(), uri::plain(&error.file).into());
    xml
}
