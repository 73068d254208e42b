//! The page of `tidegate check`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{
    devtools::{Browser, Page, View},
    filters::Filtered,
};

/// A case by its name.
pub(crate) type Case = (&'static str, fn(&Browser));

pub(crate) const CASES: &[Case] = &[
    ("it_shows_what_was_found", shows),
    ("filters_narrow_what_is_shown_and_say_how_much", filters),
    ("it_works_without_scripts", without_scripts),
    ("it_fits_a_phone", phone),
    ("text_stands_out_in_light_and_in_dark", contrast),
    ("screen_readers_find_their_way", screen_readers),
    ("nothing_from_a_manifest_is_markup", no_markup),
];

/// Findings of every level in two namespaces and in none, something excused, something unreadable,
/// and names that want to be markup.
const MANIFESTS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: shop}
spec:
  replicas: 3
  template:
    spec:
      initContainers:
        - name: migrate
          image: ghcr.io/example/shop:1.4.2
          command: [bundle, exec, rails, "db:migrate"]
          env:
            - {name: DATABASE_PASSWORD, value: CANARY}
      containers:
        - {name: app, image: ghcr.io/example/shop:1.4.2}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: billing-drop-legacy
  namespace: billing
  annotations:
    argocd.argoproj.io/hook: PreSync
    argocd.argoproj.io/hook-delete-policy: BeforeHookCreation
spec:
  template:
    spec:
      restartPolicy: OnFailure
      containers:
        - name: psql
          image: postgres:17
          command: [psql, -c, "alter table orders drop column legacy_total; create index on orders (a)"]
---
apiVersion: batch/v1
kind: Job
metadata:
  name: "</h3><script>window.owned = 1</script><img src=x onerror=window.owned=1>"
  namespace: "\"><b>"
  annotations:
    argocd.argoproj.io/hook: "<script>window.owned = 1</script>"
spec: {template: {spec: {containers: [{name: a, image: a}]}}}
---
kind: Job
"#;

/// Writes the page once for every case that needs it.
fn page(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser").join(name);
    let _gone = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("all.yaml"), MANIFESTS).unwrap();
    let run = |args: &[&str]| {
        let tidegate = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["check", "all.yaml", "--quiet"])
            .args(args)
            .current_dir(&folder)
            .output()
            .unwrap();
        assert_eq!(tidegate.status.code(), Some(2), "{tidegate:?}");
    };
    // The first line of the baseline is that of one finding: it is excused, all others count.
    fs::write(folder.join("whole.yaml"), MANIFESTS.replace("---\nkind: Job\n", "")).unwrap();
    let created = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["check", "whole.yaml", "--baseline", "b.json", "--create-baseline"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert_eq!(created.status.code(), Some(0), "{created:?}");
    let mut baseline: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("b.json")).unwrap()).unwrap();
    baseline["findings"].as_array_mut().unwrap().truncate(1);
    fs::write(folder.join("b.json"), baseline.to_string()).unwrap();
    run(&["--baseline", "b.json", "--output", "html=page.html", "--output", "json=page.json"]);
    folder.join("page.html")
}

/// `rule level namespace` of every finding, as the JSON of the same run has it.
fn expected(page: &Path) -> Vec<(String, String, String)> {
    let json = fs::read_to_string(page.with_extension("json")).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut findings = Vec::new();
    for result in json["results"].as_array().unwrap() {
        for finding in result["findings"].as_array().unwrap() {
            let level = match finding["effect"].as_str().unwrap() {
                "deny" => "refused",
                "warn" => "warning",
                "audit" => "note",
                "baselined" => "excused",
                other => panic!("{other}"),
            };
            findings.push((text(&finding["rule"]), level.to_owned(), text(&result["namespace"])));
        }
    }
    let levels: BTreeSet<&str> = findings.iter().map(|(_, level, _)| level.as_str()).collect();
    assert_eq!(levels.len(), 4, "the page is to have every level: {levels:?}");
    findings
}

const VISIBLE: &str = "[...document.querySelectorAll('[data-item]')].filter(it => \
     it.checkVisibility()).map(it => [it.dataset.rule, it.dataset.level, it.dataset.namespace]\
     .map(text => text.slice(1)))";

/// The findings that are seen.
fn visible(page: &mut Page<'_>) -> Vec<(String, String, String)> {
    serde_json::from_value(page.eval(VISIBLE)).unwrap()
}

/// Nothing went wrong in the page.
pub(super) fn quiet(page: &Page<'_>) {
    assert!(page.noise.is_empty(), "{:#?}", page.noise);
}

fn shows(browser: &Browser) {
    let file = page("shows");
    browser.open(View::DESKTOP, &file, |page| {
        assert_eq!(page.eval("document.querySelectorAll('h1').length"), 1);
        assert_eq!(
            page.eval("document.querySelector('h1').innerText"),
            "Not everything could be read"
        );
        assert_eq!(visible(page), expected(&file));
        let text = page.eval("document.body.innerText").as_str().unwrap().to_owned();
        for part in ["migrates (", "all.yaml", "Fix", "without apiVersion", "in the baseline"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("CANARY"), "{text}");
        let marked = "document.querySelector('mark').textContent.includes('name: ')";
        assert_eq!(page.eval(marked), true);
        // Every link in the page leads somewhere.
        let dead = "[...document.querySelectorAll('a[href^=\"#\"]')].filter(it => \
                    !document.getElementById(it.hash.slice(1))).length";
        assert_eq!(page.eval(dead), 0);
        quiet(page);
        page.picture("check-desktop.png");
    });
}

fn filters(browser: &Browser) {
    let file = page("filters");
    let all = expected(&file);
    let filtered = Filtered { all: &all, visible: VISIBLE };
    browser.open(View::DESKTOP, &file, |page| {
        filtered.one_by_one(
            page,
            &[
                ("level", "=refused", |it| it.1 == "refused"),
                ("rule", "=migration-in-init-container", |it| {
                    it.0 == "migration-in-init-container"
                }),
                ("namespace", "=billing", |it| it.2 == "billing"),
                ("namespace", "=\"><b>", |it| it.2 == "\"><b>"),
            ],
        );
        filtered.together(
            page,
            &[
                ("level", "=refused", |it| it.1 == "refused"),
                ("namespace", "=shop", |it| it.2 == "shop"),
            ],
        );
        page.picture("check-filtered.png");
        filtered.reset(page);
        quiet(page);
    });
}

fn without_scripts(browser: &Browser) {
    let file = page("without-scripts");
    browser.open(View { scripts: false, ..View::DESKTOP }, &file, |page| {
        // What the protocol evaluates runs all the same.
        assert_eq!(visible(page), expected(&file));
        let form = "document.getElementById('filters').checkVisibility()";
        assert_eq!(page.eval(form), false, "filters that do nothing are not shown");
        quiet(page);
    });
}

fn phone(browser: &Browser) {
    let file = page("phone");
    for (dark, name) in [(false, "check-phone.png"), (true, "check-phone-dark.png")] {
        browser.open(View { dark, ..View::PHONE }, &file, |page| {
            // A page that is too wide makes the window of a phone wider: the screen does not grow.
            let wide = "document.documentElement.scrollWidth - screen.width";
            assert_eq!(page.eval(wide), 0, "the page scrolls sideways");
            let cut = "[...document.querySelectorAll('h1, h3, h4, dd, th, td, .badge')]\
                       .filter(it => it.getBoundingClientRect().right > screen.width).length";
            assert_eq!(page.eval(cut), 0, "something is cut off");
            // A finger needs room: WCAG 2.2, target size.
            let small = "[...document.querySelectorAll('select, button')].filter(it => \
                         it.getBoundingClientRect().height < 44).length";
            assert_eq!(page.eval(small), 0);
            page.picture(name);
            quiet(page);
        });
    }
}

/// The least contrast of any text with what is behind it, and that text.
pub(super) const CONTRAST: &str = "(() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => { const f = c => { c /= 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  const behind = it => { for (; it; it = it.parentElement) {
      const color = parse(getComputedStyle(it).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color; }
    throw new Error('nothing behind'); };
  let least = [99, ''];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) { const it = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !it.checkVisibility()) continue;
    if (['SCRIPT', 'STYLE', 'OPTION'].includes(it.tagName)) continue;
    const [a, b] = [light(parse(getComputedStyle(it).color)), light(behind(it))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < least[0]) least = [ratio, it.outerHTML.slice(0, 200)]; }
  return least; })()";

fn contrast(browser: &Browser) {
    let file = page("contrast");
    for dark in [false, true] {
        browser.open(View { dark, ..View::DESKTOP }, &file, |page| {
            let background = page.eval("getComputedStyle(document.body).backgroundColor");
            let is_dark = background == "rgb(18, 23, 29)";
            assert_eq!(is_dark, dark, "{background}");
            let least = page.eval(CONTRAST);
            // WCAG 2.2, contrast (minimum) of normal text.
            assert!(least[0].as_f64().unwrap() >= 4.5, "dark: {dark}: {least}");
            if dark {
                page.picture("check-dark.png");
            }
            quiet(page);
        });
    }
}

fn screen_readers(browser: &Browser) {
    let file = page("screen-readers");
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
        for region in ["Could not be read", "Rules", "Findings", "About the rules"] {
            assert!(regions.contains(&region), "{region}: {regions:?}");
        }
        assert_eq!(names("combobox"), ["Level", "Rule", "Namespace"]);
        assert_eq!(names("button"), ["Show all"]);
        assert_eq!(names("status").len(), 1);
        assert_eq!(names("columnheader"), ["Rule", "Refused", "Warnings", "Notes", "Baseline"]);
        assert!(names("rowheader").contains(&"migration-in-init-container"));
        assert_eq!(names("table"), ["How often each rule found something"]);
        // Headings go down one step at a time.
        let levels = page.eval(
            "[...document.querySelectorAll('h1, h2, h3, h4')].map(it => Number(it.tagName[1]))",
        );
        let levels: Vec<u64> = serde_json::from_value(levels).unwrap();
        assert_eq!(levels[0], 1);
        for pair in levels.windows(2) {
            assert!(pair[1] <= pair[0] + 1, "{levels:?}");
        }
        // What scrolls can be reached with the keyboard, and has a name.
        let scrolls = "[...document.querySelectorAll('.source')].every(it => it.tabIndex === 0 && \
                       it.getAttribute('aria-label'))";
        assert_eq!(page.eval(scrolls), true);
        assert_eq!(page.eval("document.documentElement.lang"), "en");
        let twice = "(() => { const ids = [...document.querySelectorAll('[id]')].map(it => it.id); \
                     return ids.length - new Set(ids).size; })()";
        assert_eq!(page.eval(twice), 0, "an id stands twice");
        quiet(page);
    });
}

fn no_markup(browser: &Browser) {
    let file = page("no-markup");
    browser.open(View::DESKTOP, &file, |page| {
        assert_eq!(page.eval("typeof window.owned"), "undefined");
        assert_eq!(page.eval("document.querySelectorAll('script').length"), 1);
        assert_eq!(page.eval("document.querySelectorAll('img, b').length"), 0);
        let heading = "[...document.querySelectorAll('h3')].some(it => it.textContent.includes(\
                       '</h3><script>window.owned = 1</script>'))";
        assert_eq!(page.eval(heading), true);
        quiet(page);
        // The policy stops what would come in by a fault of ours.
        page.eval(
            "(() => { const it = document.createElement('script'); it.textContent = \
             'window.owned = 1'; document.body.append(it); const img = new Image(); img.src = 'https://example.com/x'; document.body.append(img); \
             return true; })()",
        );
        assert_eq!(page.eval("typeof window.owned"), "undefined");
        assert!(page.noise.iter().any(|it| it.contains("Content Security Policy")), "{:?}", page.noise);
    });
}
