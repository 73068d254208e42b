//! What a policy says has to fit together, where each field alone is right.

use serde_json::Value;

use super::{
    ResourceUse,
    defaults::{ResourceDefaults, ResourceName},
    document::Spec,
    exception::guards_data,
    load::Loader,
};
use crate::{model::Quantity, rules, source::did_you_mean};

impl Loader<'_> {
    /// Every contradiction is an error.
    pub(super) fn check_sense(&mut self, spec: &Spec) {
        self.check_defaults(spec);
        self.check_controllers(spec);
        self.check_approvals(spec);
        self.check_exceptions(spec);
    }

    fn check_approvals(&mut self, spec: &Spec) {
        if let Some(problem) = spec.approvals.signatures.problem() {
            self.fail("spec.approvals.signatures.allowedSigners", problem);
        }
        if spec.approvals.single_use && spec.approvals.resources != ResourceUse::Require {
            let message = "needs `resources: Require`, because annotations cannot be used up";
            self.fail("spec.approvals.singleUse", message);
        }
    }

    /// What mutation fills in must be what the API server takes and the rules accept.
    fn check_defaults(&mut self, spec: &Spec) {
        let defaults = &spec.defaults;
        if defaults.run_as_user == Some(0) {
            self.fail("spec.defaults.runAsUser", "must be above zero: 0 is root");
        }
        self.check_deadlines(spec);
        self.check_resources("spec.defaults.resources", &defaults.resources);
        for (name, resources) in &defaults.sizes {
            self.check_resources(&format!("spec.defaults.sizes.{name}"), resources);
        }
        for (operation, own) in &defaults.operations {
            let field = format!("spec.defaults.operations.{operation}.size");
            if let Some(size) = own.size.as_ref().filter(|size| !defaults.sizes.contains_key(*size))
            {
                let known = defaults.sizes.keys().map(String::as_str);
                self.fail(
                    &field,
                    format!("there is no size `{size}`{}", did_you_mean(size, known)),
                );
            }
        }
    }

    fn check_deadlines(&mut self, spec: &Spec) {
        let defaults = &spec.defaults;
        let max = spec
            .rules
            .get("unbounded-migration-job")
            .and_then(|settings| settings.params.get("maxSeconds"))
            .and_then(Value::as_i64)
            .unwrap_or(rules::DEFAULT_MAX_DEADLINE_SECONDS);
        let common = ("spec.defaults".to_owned(), defaults.active_deadline_seconds, true);
        let own = defaults.operations.iter().map(|(operation, own)| {
            let at = format!("spec.defaults.operations.{operation}");
            (at, own.active_deadline_seconds, operation.is_migration())
        });
        for (at, deadline, is_bounded) in std::iter::once(common).chain(own) {
            let field = format!("{at}.activeDeadlineSeconds");
            let Some(deadline) = deadline else { continue };
            if deadline == 0 {
                self.fail(&field, "must be above zero, in seconds");
            } else if is_bounded && i64::from(deadline) > max {
                let message = format!(
                    "is {deadline}, but rule `unbounded-migration-job` allows at most {max} \
                     (params.maxSeconds)"
                );
                self.fail(&field, message);
            }
        }
    }

    fn check_resources(&mut self, at: &str, resources: &ResourceDefaults) {
        let mut amounts = Vec::new();
        for (map, of) in [("requests", &resources.requests), ("limits", &resources.limits)] {
            for (name, text) in of {
                match text.parse::<Quantity>() {
                    Ok(amount) => amounts.push((map, *name, amount)),
                    Err(error) => self.fail(
                        &format!("{at}.{map}.{}", name.as_str()),
                        format!("`{text}` is {error}"),
                    ),
                }
            }
        }
        for name in [ResourceName::Cpu, ResourceName::Memory] {
            let amount = |map| {
                amounts
                    .iter()
                    .find(|(in_map, of, _)| *in_map == map && *of == name)
                    .map(|(_, _, amount)| *amount)
            };
            if let (Some(request), Some(limit)) = (amount("requests"), amount("limits"))
                && request > limit
            {
                let field = format!("{at}.requests.{}", name.as_str());
                self.fail(&field, "is more than the limit");
            }
        }
    }

    fn check_exceptions(&mut self, spec: &Spec) {
        for (index, id) in spec.exceptions.also.iter().enumerate() {
            let field = format!("spec.exceptions.also[{index}]");
            let known = || rules::ALL.iter().map(|rule| rule.id);
            if !known().any(|rule| rule == id) {
                self.fail(&field, format!("there is no rule `{id}`{}", did_you_mean(id, known())));
            } else if !guards_data(id) {
                self.fail(&field, format!("`{id}` can be excused without being listed"));
            }
        }
    }

    fn check_controllers(&mut self, spec: &Spec) {
        for (index, controller) in spec.controllers.iter().enumerate() {
            if controller.user.trim().is_empty() {
                let field = format!("spec.controllers[{index}].user");
                self.fail(&field, "must name the user that the controller authenticates as");
            }
        }
    }
}
