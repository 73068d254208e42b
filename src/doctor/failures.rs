//! What the API server itself counts of our webhooks.

use kube::Client;

use super::{Grade, Symptom};

const CHECK: &str = "failures";

pub(super) async fn look(client: &Client, seen: &mut Vec<Symptom>) {
    let Ok(request) = hyper::Request::get("/metrics").body(Vec::new()) else { return };
    match client.request_text(request).await {
        Ok(text) => seen.extend(judge(&text)),
        Err(error) => seen.push(Symptom::unread(CHECK, "the metrics of the API server", &error)),
    }
}

/// What the metrics of one API server say; another one counts for itself.
fn judge(text: &str) -> Vec<Symptom> {
    let sum = |metric: &str, label: &str| -> f64 {
        let lines = text.lines().filter(|line| {
            line.starts_with(metric) && line.contains("tidegate.dev\"") && line.contains(label)
        });
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    };
    let rejections = "apiserver_admission_webhook_rejection_count{";
    let mut seen = Vec::new();
    for (metric, label, grade, says, mend) in [
        (
            rejections,
            "error_type=\"calling_webhook_error\"",
            Grade::Warning,
            "changes were refused because no server answered",
            "docs/runbook.md, TidegateUnreachable",
        ),
        (
            "apiserver_admission_webhook_fail_open_count{",
            "",
            Grade::Warning,
            "changes were let in unseen because no server answered",
            "docs/runbook.md, TidegateFailingOpen",
        ),
        (
            rejections,
            "error_type=\"apiserver_internal_error\"",
            Grade::Failure,
            "answers of ours could not be used",
            "report it: it is a fault of tidegate",
        ),
    ] {
        let count = sum(metric, label);
        if count > 0.0 {
            let says = format!("{count} {says}, since this API server was started");
            seen.push(Symptom::new(CHECK, grade, says, mend));
        }
    }
    if seen.is_empty() {
        seen.push(Symptom::ok(CHECK, "this API server has counted no failure of ours"));
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_for_our_webhooks_alone() {
        let ours = r#"apiserver_admission_webhook_rejection_count{error_type="calling_webhook_error",name="validate.tidegate.dev",operation="CREATE",rejection_code="0",type="validating"} 3
apiserver_admission_webhook_rejection_count{error_type="no_error",name="validate.tidegate.dev",operation="CREATE",rejection_code="403",type="validating"} 9
apiserver_admission_webhook_rejection_count{error_type="calling_webhook_error",name="other.example.com",operation="CREATE",rejection_code="0",type="validating"} 7
apiserver_admission_webhook_fail_open_count{name="mutate.tidegate.dev",type="admit"} 2"#;
        let seen = judge(ours);
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert!(seen[0].says.starts_with("3 changes were refused"), "{seen:?}");
        assert!(seen[1].says.starts_with("2 changes were let in unseen"), "{seen:?}");
        assert_eq!(judge("")[0].grade, Grade::Ok);
    }
}
