//! For CI systems: JUnit XML. Without times, so that the same cases give the same text.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{TestReport, TestedCase, TestedSuite};
use crate::{policy_test::Difference, render::InputError};

/// A report as JUnit XML: a suite for each test, and one for what could not be read or played.
///
/// # Errors
///
/// When the text cannot be written to memory, which does not happen.
pub fn junit(report: &TestReport) -> Result<String, quick_junit::SerializeError> {
    let mut xml = Report::new("tidegate test");
    for tested in &report.suites {
        xml.add_test_suite(suite(tested));
    }
    if !report.errors.is_empty() {
        let mut errors = TestSuite::new("errors");
        errors.add_test_cases(report.errors.iter().map(error));
        xml.add_test_suite(errors);
    }
    xml.to_string()
}

fn suite(tested: &TestedSuite) -> TestSuite {
    let mut suite = TestSuite::new(tested.file.as_str());
    suite.add_test_cases(tested.cases.iter().map(|case| self::case(tested, case)));
    suite
}

fn case(suite: &TestedSuite, case: &TestedCase) -> TestCase {
    let status = if case.passes() {
        TestCaseStatus::success()
    } else {
        let lines: Vec<String> = case.differences.iter().flat_map(Difference::lines).collect();
        let place = format!("{}:{}:{}", suite.file, case.position.line, case.position.column);
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_type("difference");
        status.set_message(lines.first().map(String::as_str).unwrap_or_default());
        status.set_description(format!("{place} (- expected, + found)\n{}", lines.join("\n")));
        status
    };
    let mut xml = TestCase::new(case.name.as_str(), status);
    xml.set_classname(suite.name.as_str());
    xml.extra.insert("file".into(), suite.file.as_str().into());
    xml.extra.insert("line".into(), case.position.line.to_string().into());
    xml
}

fn error(error: &InputError) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type("unreadable");
    status.set_message(error.to_string());
    let mut xml = TestCase::new(error.file.as_str(), status);
    xml.set_classname("errors");
    xml
}
