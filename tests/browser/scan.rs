//! The page of `tidegate scan`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tidegate::{
    decision::Effect,
    model::{Fact, Labels},
    policy::{self, ExceptionSet, PolicySet},
    render,
    scan::{Found, Item, Options, Scan, Scanner},
};

use super::{
    check::{CONTRAST, Case, quiet},
    devtools::{Browser, Page, View},
    filters::Filtered,
};

pub(crate) const CASES: &[Case] = &[
    ("it_shows_what_was_found", shows),
    ("filters_narrow_what_is_shown_and_say_how_much", filters),
    ("it_works_without_scripts", without_scripts),
    ("it_fits_a_phone", phone),
    ("text_stands_out_in_light_and_in_dark", contrast),
    ("screen_readers_find_their_way", screen_readers),
    ("nothing_from_a_cluster_is_markup", no_markup),
];

/// What wants to be markup: the API server lets it into labels of teams and messages of errors only
/// by a fault of its own, and it must do no harm.
const MARKUP: &str = "</h3><script>window.owned = 1</script><img src=x onerror=window.owned=1>";

/// A policy that refuses in `shop`, one that reports everywhere else, and two exceptions in `legacy`.
const DOCUMENTS: &str = "
apiVersion: tidegate.dev/v1alpha1
kind: MigrationPolicy
metadata: {name: strict}
spec: {match: {namespaces: [shop]}}
---
apiVersion: tidegate.dev/v1alpha1
kind: MigrationPolicy
metadata: {name: audit}
spec: {level: Audit}
---
apiVersion: tidegate.dev/v1alpha1
kind: MigrationException
metadata: {name: used, namespace: legacy}
spec:
  rules: [migration-in-init-container]
  match: {names: [old]}
  reason: an old chart
  ticket: OPS-1
  expires: '2026-06-02T12:00:00Z'
---
apiVersion: tidegate.dev/v1alpha1
kind: MigrationException
metadata: {name: unused, namespace: legacy}
spec:
  rules: [migration-in-init-container]
  match: {names: [gone]}
  reason: an old chart
  ticket: OPS-1
  expires: '2026-06-02T12:00:00Z'
";

fn policies() -> PolicySet {
    let policy::Loaded { policies, exceptions } = policy::read(DOCUMENTS, "policies.yaml").unwrap();
    PolicySet::new(policies).with_exceptions(ExceptionSet::new(exceptions, "default"))
}

/// A workload whose initContainer migrates, or a Job whose container does.
fn migrating(kind: &str, name: &str, team: Option<&str>) -> Value {
    let container = json!({"name": "migrate", "image": "ghcr.io/example/shop:1.4.2",
        "command": ["bundle", "exec", "rails", "db:migrate"],
        "env": [{"name": "DATABASE_PASSWORD", "value": "CANARY"}]});
    let pod = match kind {
        "Job" => json!({"restartPolicy": "OnFailure", "containers": [container]}),
        _ => json!({"initContainers": [container],
            "containers": [{"name": "web", "image": "ghcr.io/example/shop:1.4.2"}]}),
    };
    let labels: Labels = team
        .map(|team| ("app.kubernetes.io/part-of".to_owned(), team.to_owned()))
        .into_iter()
        .collect();
    let version = if kind == "Job" { "batch/v1" } else { "apps/v1" };
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": 2, "template": {"spec": pod}}})
}

fn scanned() -> Scan {
    let now = "2026-06-01T12:00:00Z".parse().unwrap();
    let mut scanner = Scanner::new(policies(), Options::default(), now);
    for namespace in ["shop", "billing", "legacy", "calm"] {
        scanner.namespace(namespace, Labels::new());
    }
    scanner.active(Fact::Known(Vec::new()));
    for (namespace, kind, name, team) in [
        ("shop", "Deployment", "web", Some("storefront")),
        ("shop", "Job", "migrate", None),
        ("billing", "Deployment", "invoices", Some("money")),
        ("billing", "StatefulSet", MARKUP, Some(MARKUP)),
        ("legacy", "Deployment", "old", Some("storefront")),
    ] {
        let object = migrating(kind, name, team);
        let labels: Labels = serde_json::from_value(object["metadata"]["labels"].clone()).unwrap();
        let text = object.to_string();
        let item = Item { namespace, name, uid: name, labels: Some(&labels), text: &text };
        assert!(scanner.judge(&item, None).is_empty(), "{name}");
    }
    scanner.finish()
}

/// The word on the page for what a finding comes to.
fn word(found: &Found) -> &'static str {
    match (found.effect, found.enforced) {
        (Some(Effect::Refuses), _) => "refused now",
        (_, Effect::Refuses) => "refused if enforced",
        (_, Effect::Warns) => "warning",
        (_, Effect::Audits) => "note",
        _ => "excused",
    }
}

/// Rule, word, namespace and team of a finding.
type Shown = (String, String, String, String);

fn expected(scan: &Scan) -> Vec<Shown> {
    let all = scan.objects.iter().flat_map(|object| {
        let team = object.team.as_deref().unwrap_or("(none)").to_owned();
        let (namespace, found) = (object.namespace.to_string(), object.findings.iter());
        found.map(move |it| {
            (it.rule.to_owned(), word(it).to_owned(), namespace.clone(), team.clone())
        })
    });
    let all: Vec<Shown> = all.collect();
    for want in ["refused now", "refused if enforced", "warning", "note", "excused"] {
        assert!(all.iter().any(|it| it.1 == want), "the page is to have every level: {want}");
    }
    all
}

/// Writes the page once for every case that needs it.
fn page(name: &str, scan: &Scan) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser-scan");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{name}.html"));
    fs::write(&file, render::scan::html(scan).unwrap()).unwrap();
    file
}

const VISIBLE: &str = "[...document.querySelectorAll('[data-item]')].filter(it => \
     it.checkVisibility()).map(it => [it.dataset.rule, it.dataset.level, it.dataset.namespace, \
     it.dataset.team].map(text => text.slice(1)))";

/// The findings that are seen.
fn visible(page: &mut Page<'_>) -> Vec<Shown> {
    serde_json::from_value(page.eval(VISIBLE)).unwrap()
}

fn shows(browser: &Browser) {
    let scan = scanned();
    let file = page("shows", &scan);
    browser.open(View::DESKTOP, &file, |page| {
        assert_eq!(page.eval("document.querySelectorAll('h1').length"), 1);
        let headline = format!("{} objects would be refused", scan.would_be_refused());
        assert_eq!(page.eval("document.querySelector('h1').innerText"), headline);
        assert_eq!(visible(page), expected(&scan));
        let text = page.eval("document.body.innerText").as_str().unwrap().to_owned();
        for part in [
            "5 objects in 4 namespaces judged",
            "Safe to enforce now\n",
            "excuses nothing that is in its namespace",
            "team storefront",
            "policy strict",
            "Fix",
            "OPS-1",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("CANARY"), "{text}");
        let safe = "[...document.querySelectorAll('section[aria-labelledby=safe] li')].map(it => \
                    it.innerText)";
        assert_eq!(page.eval(safe), json!(scan.safe_to_enforce().collect::<Vec<_>>()));
        assert!(scan.safe_to_enforce().any(|name| name == "calm"));
        let tiles =
            "[...document.querySelectorAll('.tiles strong')].map(it => Number(it.innerText))";
        let counts = [scan.refused(), scan.would_be_refused(), scan.safe_to_enforce().count()];
        assert_eq!(page.eval(tiles), json!(counts));
        quiet(page);
        page.picture("scan-desktop.png");
    });
}

fn filters(browser: &Browser) {
    let scan = scanned();
    let file = page("filters", &scan);
    let all = expected(&scan);
    let filtered = Filtered { all: &all, visible: VISIBLE };
    browser.open(View::DESKTOP, &file, |page| {
        filtered.one_by_one(
            page,
            &[
                ("level", "=refused if enforced", |it| it.1 == "refused if enforced"),
                ("rule", "=migration-in-init-container", |it| {
                    it.0 == "migration-in-init-container"
                }),
                ("namespace", "=billing", |it| it.2 == "billing"),
                ("team", "=storefront", |it| it.3 == "storefront"),
                ("team", "=(none)", |it| it.3 == "(none)"),
            ],
        );
        filtered.together(
            page,
            &[
                ("team", "=storefront", |it| it.3 == "storefront"),
                ("namespace", "=legacy", |it| it.2 == "legacy"),
            ],
        );
        filtered.reset(page);
        quiet(page);
    });
}

fn without_scripts(browser: &Browser) {
    let scan = scanned();
    let file = page("without-scripts", &scan);
    browser.open(View { scripts: false, ..View::DESKTOP }, &file, |page| {
        assert_eq!(visible(page), expected(&scan));
        let form = "document.getElementById('filters').checkVisibility()";
        assert_eq!(page.eval(form), false, "filters that do nothing are not shown");
        quiet(page);
    });
}

fn phone(browser: &Browser) {
    let file = page("phone", &scanned());
    browser.open(View::PHONE, &file, |page| {
        let wide = "document.documentElement.scrollWidth - screen.width";
        assert_eq!(page.eval(wide), 0, "the page scrolls sideways");
        let cut = "[...document.querySelectorAll('h1, h3, h4, dd, th, td, .badge')]\
                   .filter(it => it.getBoundingClientRect().right > screen.width)\
                   .map(it => it.innerText)";
        assert_eq!(page.eval(cut), json!([]), "something is cut off");
        page.picture("scan-phone.png");
        quiet(page);
    });
}

fn contrast(browser: &Browser) {
    let file = page("contrast", &scanned());
    for dark in [false, true] {
        browser.open(View { dark, ..View::DESKTOP }, &file, |page| {
            let least = page.eval(CONTRAST);
            // WCAG 2.2, contrast (minimum) of normal text.
            assert!(least[0].as_f64().unwrap() >= 4.5, "dark: {dark}: {least}");
            quiet(page);
        });
    }
}

fn screen_readers(browser: &Browser) {
    let file = page("screen-readers", &scanned());
    browser.open(View::DESKTOP, &file, |page| {
        let nodes = page.accessibility();
        let names = |role: &str| -> Vec<&str> {
            let found = nodes.iter().filter(|(have, _)| have == role);
            found.map(|(_, name)| name.as_str()).collect()
        };
        for landmark in ["banner", "main", "contentinfo", "form"] {
            assert_eq!(names(landmark).len(), 1, "{landmark}: {nodes:?}");
        }
        let regions = names("region");
        for region in ["Safe to enforce now", "Rules", "Teams", "Namespaces", "Findings"] {
            assert!(regions.contains(&region), "{region}: {regions:?}");
        }
        assert_eq!(names("combobox"), ["Level", "Rule", "Namespace", "Team"]);
        assert_eq!(names("button"), ["Show all"]);
        assert_eq!(names("status").len(), 1);
        let levels = page.eval(
            "[...document.querySelectorAll('h1, h2, h3, h4')].map(it => Number(it.tagName[1]))",
        );
        let levels: Vec<u64> = serde_json::from_value(levels).unwrap();
        assert_eq!(levels[0], 1);
        for pair in levels.windows(2) {
            assert!(pair[1] <= pair[0] + 1, "{levels:?}");
        }
        quiet(page);
    });
}

fn no_markup(browser: &Browser) {
    let mut scan = scanned();
    scan.errors.push(MARKUP.to_owned());
    let file = page("no-markup", &scan);
    browser.open(View::DESKTOP, &file, |page| {
        assert_eq!(
            page.eval("document.querySelector('h1').innerText"),
            "Not everything could be looked at"
        );
        assert_eq!(page.eval("typeof window.owned"), "undefined");
        assert_eq!(page.eval("document.querySelectorAll('script').length"), 1);
        assert_eq!(page.eval("document.querySelectorAll('img').length"), 0);
        // It stands there as text: in a heading, in a filter and among the errors.
        let told = "[...document.querySelectorAll('h3, option, .error')].filter(it => \
                    it.textContent.includes('<script>window.owned = 1</script>')).length";
        assert_eq!(page.eval(told), 3);
        quiet(page);
    });
}
