//! Rules in CEL: what they find, what they cannot tell, and that they always end.

use serde_json::{Value, json};
use tidegate::{
    decision::{Effect, Outcome},
    policy::{PolicySet, parse},
};

use super::support::{judge, judge_update, policy, refusals};

fn deployment(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"team": "shop"}},
        "spec": {"replicas": 3, "template": {"spec": {
            "containers": [{"name": "web", "image": image,
                            "env": [{"name": "TOKEN", "value": "hunter2"}]}],
        }}},
    })
}

fn one(fields: &str) -> PolicySet {
    let spec = format!(
        "{{customRules: [{{id: foreign-image, level: Deny, message: is from elsewhere, mend: use ours, {fields}}}]}}"
    );
    PolicySet::new(vec![policy(&spec)])
}

const OURS: &str =
    "expression: \"object.spec.template.spec.containers.all(c, c.image.startsWith('ours/'))\"";

#[test]
fn what_does_not_hold_is_found() {
    let policies = one(OURS);
    let verdict = judge(&policies, &deployment("theirs/web:1"));
    assert_eq!(refusals(&verdict), ["foreign-image"]);
    assert_eq!(
        verdict.message(),
        "foreign-image: Deployment/web spec: is from elsewhere; use ours"
    );
    assert_eq!(judge(&policies, &deployment("ours/web:1")).outcome, Outcome::Admitted);
}

#[test]
fn an_old_finding_does_not_refuse_and_a_new_one_does() {
    let policies = one(OURS);
    let mut scaled = deployment("theirs/web:1");
    scaled["spec"]["replicas"] = json!(5);
    let verdict = judge_update(&policies, &deployment("theirs/web:1"), &scaled);
    assert_eq!(verdict.findings[0].effect, Effect::Ratcheted);
    let verdict = judge_update(&policies, &deployment("ours/web:1"), &scaled);
    assert_eq!(refusals(&verdict), ["foreign-image"]);
}

#[test]
fn a_rule_about_the_change_runs_on_updates_and_is_never_old() {
    let policies = one("expression: object.spec.replicas <= oldObject.spec.replicas + 1");
    let mut scaled = deployment("a");
    scaled["spec"]["replicas"] = json!(5);
    assert_eq!(judge(&policies, &scaled).outcome, Outcome::Admitted);
    let verdict = judge_update(&policies, &deployment("a"), &scaled);
    assert_eq!(refusals(&verdict), ["foreign-image"]);
}

#[test]
fn the_level_is_capped_and_rules_look_only_at_what_they_match() {
    let found = |spec: &str| {
        let set = PolicySet::new(vec![policy(spec)]);
        let findings = judge(&set, &deployment("x")).findings;
        findings.into_iter().map(|finding| finding.effect).collect::<Vec<_>>()
    };
    let rule = "id: a-rule, message: m, mend: mend it, expression: 'false'";
    assert_eq!(found(&format!("{{customRules: [{{{rule}}}]}}")), [Effect::Warns]);
    let audit = format!("{{level: Audit, customRules: [{{level: Deny, {rule}}}]}}");
    assert_eq!(found(&audit), [Effect::Audits]);
    for (matches, count) in [
        ("{kinds: [Deployment]}", 1),
        ("{kinds: [apps/Deployment, Job]}", 1),
        ("{kinds: [Job]}", 0),
        ("{operations: [apply]}", 0),
    ] {
        let spec = format!("{{customRules: [{{match: {matches}, {rule}}}]}}");
        assert_eq!(found(&spec).len(), count, "{matches}");
    }
}

#[test]
fn migrations_facts_and_params_can_be_read() {
    let mut object = deployment("shop:1");
    object["spec"]["template"]["spec"]["initContainers"] =
        json!([{"name": "up", "image": "flyway/flyway", "command": ["flyway", "migrate"]}]);
    for (expression, holds) in [
        ("migrations.size() == 1 && migrations[0].tool == 'flyway'", true),
        ("migrations.exists(m, m.operation in params.allowed)", true),
        ("migrations.all(m, m.operation in ['apply', 'data'] && m.tool != 'atlas')", true),
        ("migrations.all(m, m.container.matches('^[a-z]+$') && m.list == 'init')", true),
        ("migrations[0].path == 'spec.template.spec.initContainers[0]'", true),
        ("facts.namespace.name == 'shop'", true),
        ("facts.namespace.labels.size() == 0", true),
        ("!has(facts.user)", true),
        ("object.spec.replicas > 2 && object.metadata.labels.team == 'shop'", true),
        ("object.spec.template.spec.containers.exists_one(c, c.name == 'web')", true),
        (
            "object.spec.template.spec.containers.filter(c, c.name == 'web').map(c, c.image) == ['shop:1']",
            true,
        ),
        ("object.spec.template.spec.containers.all(c, c.env.all(e, has(e.valueFrom)))", false),
    ] {
        let set = one(&format!("params: {{allowed: [apply]}}, expression: \"{expression}\""));
        let verdict = judge(&set, &object);
        let found = verdict.findings.iter().any(|finding| finding.rule == "foreign-image");
        assert_eq!(found, !holds, "{expression}: {verdict:#?}");
    }
}

#[test]
fn what_cannot_be_told_is_settled_by_the_policy_and_holds_no_value() {
    for (expression, why) in [
        ("object.spec.nothing == 1", "its expression reads `nothing`, which is not there"),
        ("facts.user == 'alice'", "its expression reads `user`, which is not there"),
        (
            "object.metadata.labels[object.spec.template.spec.containers[0].env[0].value] == ''",
            "its expression reads a key that is not there",
        ),
        ("object.spec.template.spec.containers[9].name == ''", "an element that is not there"),
        ("object.spec.replicas", "gives a value of type int and no truth value"),
        ("object.spec.replicas / 0 == 1", "divides by zero"),
        ("object.spec.replicas + 9223372036854775807 > 0", "its expression fails on this object"),
        ("object.spec.template.spec.containers[0].env[0].value + 1 == ''", "its expression"),
        ("int(object.spec.template.spec.containers[0].env[0].value) == 1", "its expression"),
    ] {
        for (on_undecided, effect) in [("Deny", Effect::Refuses), ("Audit", Effect::Audits)] {
            let spec = format!(
                "{{onUndecided: {on_undecided}, customRules: [{{id: a-rule, level: Deny, message: m, mend: mend it, expression: \"{expression}\"}}]}}"
            );
            let verdict = judge(&PolicySet::new(vec![policy(&spec)]), &deployment("x"));
            let [finding] = &verdict.findings[..] else { panic!("{expression}: {verdict:#?}") };
            assert!(finding.undecided && finding.effect == effect, "{expression}: {verdict:#?}");
            assert!(finding.line.contains(why), "{expression}: {}", finding.line);
            assert!(!finding.line.contains("hunter2"), "{expression}: {}", finding.line);
        }
    }
}

#[test]
fn a_message_can_be_made_and_is_one_short_line() {
    let made = |expression: &str| {
        let set = one(&format!("expression: 'false', messageExpression: \"{expression}\""));
        judge(&set, &deployment("x")).findings[0].what.to_string()
    };
    assert_eq!(made("'is of ' + object.metadata.labels.team"), "is of shop");
    assert_eq!(made("'a\\\\nb\\\\u001b[31mc'"), "a b [31mc");
    assert_eq!(made("object.metadata.name + string(1)"), "web1");
    // What fails falls back to the plain message.
    assert_eq!(made("object.metadata.labels.nobody"), "is from elsewhere");
    let long = "x".repeat(900);
    assert_eq!(made(&format!("'{long}'")).chars().count(), 200);
}

/// The data of a hostile object is as large as it may be, and the rule looks at all of it.
#[test]
fn an_evaluation_ends_whatever_the_object_holds() {
    let mut object = deployment("x");
    let big: Vec<Value> = (0..6_000).map(|number| json!({"v": number})).collect();
    object["spec"]["big"] = Value::Array(big);
    for expression in [
        "object.spec.big.all(a, object.spec.big.all(b, a.v == b.v || a.v != b.v))",
        "object.spec.big.all(a, a in object.spec.big)",
        "object.spec.big.map(a, object).size() > 0",
        "object.spec.big.filter(a, a in object.spec.big).all(b, b.v >= 0)",
        "object.spec.big.exists_one(a, object == oldObject || object.spec == a)",
        // The error of the inner loop must not be overruled by the outer one.
        "object.spec.big.exists(a, object.spec.big.exists(b, a.v < 0) || true)
         && object.spec.big.all(a, object.spec.big.exists(b, a in object.spec.big) || true)",
    ] {
        let expression = expression.replace("object == oldObject || ", "").replace('\n', " ");
        let verdict = judge(&one(&format!("expression: \"{expression}\"")), &object);
        assert!(verdict.findings[0].undecided, "{expression}: {:?}", verdict.findings[0]);
        assert!(verdict.findings[0].line.contains("takes too long"), "{:?}", verdict.findings[0]);
    }
    object["spec"]["big"] = json!("x".repeat(300_000));
    let verdict = judge(&one("expression: 'true'"), &object);
    assert!(verdict.findings[0].line.contains("more than 128 KiB"), "{:?}", verdict.findings[0]);
    // So deep that no reader takes it: a rule that reads it cannot tell, and another passes over it.
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    let json = deployment("x").to_string().replace("\"replicas\":3", &format!("\"x\":{deep}"));
    let facts = tidegate::model::Facts::new(tidegate::model::Fact::Unknown("x".into()));
    let change = tidegate::model::Change::create("shop", "web", &json);
    for (expression, undecided) in
        [("object.spec.x != []", 1), ("object != {}", 1), ("object.kind == 'Deployment'", 0)]
    {
        let policies = one(&format!("expression: \"{expression}\""));
        let now = super::support::now();
        let verdict = tidegate::decision::validate(&policies, &change, &facts, now);
        let found: Vec<_> = verdict.findings.iter().map(|finding| finding.undecided).collect();
        assert_eq!(found, vec![true; undecided], "{expression}: {verdict:#?}");
    }
}

/// What one rule reads is there for it whether or not others, for other objects, read more.
#[test]
fn rules_share_what_they_read_and_each_gets_all_of_its_own() {
    let rules = [
        ("whole", "kinds: [Job]", "object.spec == object.metadata"),
        ("field", "kinds: [Deployment]", "object.spec.replicas == 3"),
        (
            "loop",
            "kinds: [Deployment]",
            "object.spec.template.spec.containers.all(c, c.name == 'web')",
        ),
        ("every", "", "object.spec.template.spec.containers.all(c, c.env[0].name == 'TOKEN')"),
        ("missing", "", "has(object.spec.paused)"),
    ];
    let rules: Vec<String> = rules
        .iter()
        .map(|(id, matches, expression)| {
            format!("{{id: {id}, message: m, mend: mend it, match: {{{matches}}}, expression: \"{expression}\"}}")
        })
        .collect();
    let set = PolicySet::new(vec![policy(&format!("{{customRules: [{}]}}", rules.join(", ")))]);
    let verdict = judge(&set, &deployment("x"));
    let found: Vec<_> =
        verdict.findings.iter().map(|finding| (finding.rule, finding.undecided)).collect();
    assert_eq!(found, [("missing", false)], "{verdict:#?}");
}

#[test]
fn errors_name_file_line_column_and_the_nearest_name() {
    let errors = |rule: &str| -> Vec<String> {
        let text = format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\nmetadata: {{name: p}}\nspec:\n  customRules:\n{rule}"
        );
        let errors = parse(&text, "p.yaml").unwrap_err();
        errors.iter().map(|error| error.to_string().replace("spec.customRules[0].", "")).collect()
    };
    let rule = |id: &str, expression: &str| {
        format!("  - id: {id}\n    message: m\n    mend: mend it\n    expression: {expression}\n")
    };
    for (id, expression, want) in [
        (
            "a-rule",
            "objct.kind == 'Job'",
            "p.yaml:9:17: expression: there is no variable `objct` (did you mean `object`?)",
        ),
        (
            "a-rule",
            "\"true && objct.kind == 'Job'\"",
            "p.yaml:9:26: expression: there is no variable `objct`",
        ),
        (
            "a-rule",
            "object.kind.startWith('J')",
            "p.yaml:9:29: expression: there is no function `startWith` (did you mean `startsWith`?)",
        ),
        (
            "a-rule",
            "|\n      true &&\n      objct.kind == ''",
            "p.yaml:11:7: expression: there is no variable `objct`",
        ),
        ("a-rule", "object.kind ==", "p.yaml:9:"),
        (
            "a-rule",
            "object.a.all(c, c.all(d, d.all(e, true)))",
            "p.yaml:9:17: expression: loops nest deeper than 2",
        ),
        (
            "a-rule",
            "object.a.exists(c, c.map(d, d).size() > 0)",
            "p.yaml:9:17: expression: `map` and `filter` cannot",
        ),
        (
            "a-rule",
            "object.a.all(c, c + c == '')",
            "p.yaml:9:35: expression: `+` cannot stand inside a loop",
        ),
        (
            "a-rule",
            "object.kind.matches(object.kind)",
            "p.yaml:9:29: expression: `matches` needs a pattern",
        ),
        (
            "a-rule",
            "object.kind.matches('(')",
            "p.yaml:9:29: expression: no pattern: unclosed group",
        ),
        (
            "a-rule",
            "object.kind.matches('((a{999}){99})')",
            "p.yaml:9:29: expression: the pattern is too large",
        ),
        ("a-rule", "size(1, 2)", "p.yaml:9:17: expression: `size` takes 1 and not 2 arguments"),
        ("a-rule", "Foo{a: 1} == 1", "p.yaml:9:"),
        ("a_rule", "'true'", "p.yaml:6:5: id: `a_rule` is no id"),
        ("root-migration", "'true'", "p.yaml:6:5: id: `root-migration` is that of a built-in rule"),
    ] {
        let errors = errors(&rule(id, expression));
        assert!(errors[0].starts_with(want), "{want}\n{errors:#?}");
    }
    let twice = rule("a-rule", "'true'").repeat(2);
    assert!(errors(&twice)[0].ends_with("spec.customRules[1].id: `a-rule` is used already"));
    let leaks = rule("a-rule", "'true'")
        + "    messageExpression: object.spec.template.spec.containers[0].env[0].value\n";
    assert!(errors(&leaks)[0].contains("may hold a secret"), "{:?}", errors(&leaks));
    let levels = rule("a-rule", "'true'") + "  rules: {a-rule: {level: Off}}\n";
    assert!(errors(&levels)[0].contains("has its level in spec.customRules"));
}

/// Whatever stands in an expression, loading ends with an answer.
#[test]
fn hostile_expressions_are_answered() {
    let nested = |open: &str, close: &str, count: usize| {
        format!("{}1{}", open.repeat(count), close.repeat(count))
    };
    let accepted = [
        nested("(", ")", 40),
        nested("-", "", 30),
        nested("(true ? ", " : 2)", 17),
        "1+1".to_owned(),
    ];
    for expression in accepted {
        let text = format!("expression: \"{expression} == 1 || true\"");
        assert!(judge(&one(&text), &deployment("x")).findings.is_empty(), "{expression}");
    }
    for expression in [
        nested("(", ")", 2_000),
        nested("[", "]", 2_000),
        nested("!", "", 4_000),
        nested("-", "", 4_000),
        nested("{1:", "}", 1_000),
        nested("a.all(x,", ")", 400),
        nested("a?b:", "", 1_000),
        "1+".repeat(2_000) + "1",
        "a.".repeat(2_000) + "a",
        "a&&".repeat(1_300) + "a",
        "a[".repeat(1_300),
        "\\u0000\\'\\\"".repeat(300),
        "'".repeat(4_000),
        "\u{0}\u{ffff}é𝄞".repeat(300),
        "0x".repeat(2_000),
        "9".repeat(4_000),
        "1e".repeat(1_000),
        "x".repeat(5_000),
    ] {
        let text = json!({
            "apiVersion": "tidegate.dev/v1alpha1", "kind": "MigrationPolicy",
            "metadata": {"name": "p"},
            "spec": {"customRules": [
                {"id": "a-rule", "message": "m", "mend": "n", "expression": expression},
            ]},
        });
        // Some of them say something, such as 1 in many brackets.
        let Err(errors) = parse(&text.to_string(), "p.json") else { continue };
        assert!(errors[0].field == "spec.customRules[0].expression", "{errors:?}");
        assert!(!errors[0].message.contains('\n'), "{errors:?}");
    }
}
