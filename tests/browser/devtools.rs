//! A browser without a window, driven by the protocol of its developer tools over two pipes.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running browser.
pub(crate) struct Browser {
    child: Mutex<Child>,
    /// Held while a page is open: one case at a time talks to the browser.
    wire: Mutex<Wire>,
    profile: tempfile::TempDir,
    next: AtomicU64,
}

struct Wire {
    to: ChildStdin,
    from: Receiver<Value>,
}

impl Browser {
    pub(crate) fn start(program: &Path) -> Self {
        let profile = tempfile::tempdir().unwrap();
        // The protocol is spoken over file descriptors 3 and 4, which the shell makes of the pipes.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"])
            .arg(program)
            .args([
                "--headless",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--no-default-browser-check",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let to = child.stdin.take().unwrap();
        let output = child.stdout.take().unwrap();
        let (send, from) = channel();
        thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let Ok(message) = message else { return };
                let Ok(message) = serde_json::from_slice(&message) else { continue };
                if send.send(message).is_err() {
                    return;
                }
            }
        });
        let (child, wire) = (Mutex::new(child), Mutex::new(Wire { to, from }));
        Self { child, wire, profile, next: AtomicU64::new(1) }
    }

    /// Opens a file in a page of its own and looks at it.
    pub(crate) fn open<T>(
        &self,
        view: View,
        file: &Path,
        look: impl FnOnce(&mut Page<'_>) -> T,
    ) -> T {
        // A case that failed leaves the wire as it was: every answer is known by its number.
        let wire = self.wire.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut page = Page { browser: self, wire, session: Value::Null, noise: Vec::new() };
        let target = page.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        page.session = page.call("Target.attachToTarget", &attach)["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), &json!({}));
        }
        page.call(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": view.width, "height": view.height, "deviceScaleFactor": 1,
                    "mobile": view.width < 600}),
        );
        let scheme = if view.dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        page.call("Emulation.setEmulatedMedia", &json!({"features": features}));
        let disabled = json!({"value": !view.scripts});
        page.call("Emulation.setScriptExecutionDisabled", &disabled);
        let url = format!("file://{}", fs::canonicalize(file).unwrap().display());
        page.call("Page.navigate", &json!({"url": url}));
        page.wait_for("Page.loadEventFired");
        let result = look(&mut page);
        let session = std::mem::take(&mut page.session);
        assert!(!session.is_null());
        page.call("Target.closeTarget", &json!({"targetId": target["targetId"]}));
        result
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _gone = child.kill();
        let _status = child.wait();
        let _left = fs::remove_dir_all(self.profile.path());
    }
}

/// What a page is looked at with.
#[derive(Clone, Copy)]
pub(crate) struct View {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) dark: bool,
    pub(crate) scripts: bool,
}

impl View {
    pub(crate) const DESKTOP: Self = Self { width: 1200, height: 900, dark: false, scripts: true };
    pub(crate) const PHONE: Self = Self { width: 360, height: 740, ..Self::DESKTOP };
}

/// An open page.
pub(crate) struct Page<'b> {
    browser: &'b Browser,
    wire: std::sync::MutexGuard<'b, Wire>,
    session: Value,
    /// What the console got, and every request to anything but the file itself.
    pub(crate) noise: Vec<String>,
}

impl Page<'_> {
    /// The result of an expression in the page.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &params);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Chooses a value as a person does, and waits until the page has seen it.
    pub(crate) fn choose(&mut self, select: &str, value: &str) {
        let script = format!(
            "(() => {{ const it = document.querySelector({select:?}); it.value = {value:?};
               it.dispatchEvent(new Event('change', {{bubbles: true}}));
               return it.value === {value:?}; }})()"
        );
        assert_eq!(self.eval(&script), true, "{select} has no {value}");
    }

    /// What a screen reader gets: the nodes of the accessibility tree that are not ignored.
    pub(crate) fn accessibility(&mut self) -> Vec<(String, String)> {
        let tree = self.call("Accessibility.getFullAXTree", &json!({}));
        let nodes = tree["nodes"].as_array().unwrap().iter();
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        nodes
            .filter(|node| node["ignored"] == false)
            .map(|node| (text(&node["role"]), text(&node["name"])))
            .collect()
    }

    /// A picture, where the developer asked for pictures.
    pub(crate) fn picture(&mut self, name: &str) {
        let Some(folder) = env::var_os("TIDEGATE_SCREENSHOTS").map(PathBuf::from) else { return };
        fs::create_dir_all(&folder).unwrap();
        let size = self.eval("document.documentElement.scrollHeight").as_u64().unwrap();
        let width = self.eval("innerWidth").as_u64().unwrap();
        let clip = json!({"x": 0, "y": 0, "width": width, "height": size.min(2_400), "scale": 1});
        let picture = self
            .call("Page.captureScreenshot", &json!({"clip": clip, "captureBeyondViewport": true}));
        let bytes = BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        let id = self.browser.next.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({"id": id, "method": method, "params": params});
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.wire.to.write_all(&bytes).unwrap();
        self.wire.to.flush().unwrap();
        let answer = self.receive(method, |message| message["id"] == id);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn wait_for(&mut self, event: &str) {
        self.receive(event, |message| message["method"] == event);
    }

    fn receive(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(start.elapsed());
            let message = match self.wire.from.recv_timeout(left) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => panic!("never: {what}"),
                Err(RecvTimeoutError::Disconnected) => panic!("the browser went away: {what}"),
            };
            self.listen(&message);
            if wanted(&message) {
                return message;
            }
        }
    }

    fn listen(&mut self, message: &Value) {
        let params = &message["params"];
        let url = params["request"]["url"].as_str().unwrap_or_default();
        let noise = match message["method"].as_str().unwrap_or_default() {
            "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded" => true,
            "Network.requestWillBeSent" => !url.starts_with("file:") && !url.starts_with("data:"),
            _ => false,
        };
        if noise {
            self.noise.push(params.to_string());
        }
    }
}
