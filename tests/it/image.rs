//! The image of the servers, laid out in a folder as its Dockerfile says and run from there. No container
//! engine is needed: the build stage is the binary under test, the base image is what is known to be in it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use crate::{command::Folder, support::eventually};

const DOCKERFILE: &str = "deploy/docker/Dockerfile";
const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");
/// Base images that can be named, the release of Debian that they are made of, and their libraries
/// (<https://github.com/GoogleContainerTools/distroless>, `base` and `cc`).
const BASES: [(&str, &[&str]); 3] = [
    ("gcr.io/distroless/static-debian12", &[]),
    ("gcr.io/distroless/base-debian12", GLIBC),
    ("gcr.io/distroless/cc-debian12", WITH_GCC),
];
const GLIBC: &[&str] = &["ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6"];
const WITH_GCC: &[&str] =
    &["ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libgcc_s.so.1"];

/// What an image is made of.
#[derive(Debug, Default)]
struct Image {
    base: String,
    /// What is copied: from the build stage or not, the source, the destination.
    copies: Vec<(bool, String, String)>,
    labels: BTreeMap<String, String>,
    user: (u32, u32),
    ports: Vec<String>,
    entrypoint: Vec<String>,
    command: Vec<String>,
    /// What the build stage is known to leave, and its mode.
    built: BTreeMap<String, u32>,
    platforms: Vec<String>,
}

/// The instructions of a Dockerfile, with their lines joined.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let split = joined.lines().filter_map(|line| line.trim().split_once(' '));
    split.map(|(word, rest)| (word.to_owned(), rest.trim().to_owned())).collect()
}

fn words(json: &str) -> Result<Vec<String>, String> {
    serde_json::from_str(json).map_err(|_error| format!("{json} starts a shell, and there is none"))
}

/// `"a b"` and `a` of a list of `key="value"`.
fn labels(text: &str, args: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let pairs = text.split("\" ").filter_map(|pair| pair.trim().split_once('='));
    pairs
        .map(|(key, value)| {
            let value = value.trim_matches('"');
            let value = value.strip_prefix('$').and_then(|name| args.get(name).cloned());
            let plain = text.split_once(&format!("{key}=\"")).map(|(_, rest)| rest);
            let plain = plain.and_then(|rest| rest.split('"').next()).unwrap_or_default();
            (key.to_owned(), value.unwrap_or_else(|| plain.to_owned()))
        })
        .collect()
}

/// What the build stage leaves, and for which platforms it knows the compiler.
fn read_build(all: &[(String, String)], image: &mut Image) -> Result<(), String> {
    for (_, run) in all.iter().filter(|(word, _)| word == "RUN") {
        if let Some((_, install)) = run.split_once("install -D -m ") {
            let parts: Vec<&str> = install.split_whitespace().collect();
            let mode = u32::from_str_radix(parts[0], 8);
            let mode = mode.map_err(|_error| format!("install -m {}", parts[0]))?;
            image.built.insert(parts[2].to_owned(), mode);
        }
        for platform in ["amd64", "arm64"] {
            if run.contains(&format!("{platform}) echo ")) {
                image.platforms.push(platform.to_owned());
            }
        }
    }
    Ok(())
}

/// Reads a Dockerfile: the last stage whole, of the first what it leaves.
fn read(text: &str) -> Result<Image, String> {
    let all = instructions(text);
    let last = all.iter().rposition(|(word, _)| word == "FROM").ok_or("no FROM")?;
    let (build, image) = all.split_at(last);
    let mut found = Image::default();
    read_build(build, &mut found)?;
    let mut args = BTreeMap::new();
    for (word, rest) in image {
        match word.as_str() {
            "FROM" => found.base.clone_from(rest),
            "ARG" => {
                let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
                args.insert(name.to_owned(), value.to_owned());
            }
            "LABEL" => found.labels = labels(rest, &args),
            "COPY" => found.copies.push(copy(rest)?),
            "USER" => {
                let ids = rest.split_once(':');
                let ids =
                    ids.and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)));
                found.user = ids.ok_or("USER is no number: `runAsNonRoot` cannot be checked")?;
            }
            "EXPOSE" => found.ports = rest.split_whitespace().map(str::to_owned).collect(),
            "ENTRYPOINT" => found.entrypoint = words(rest)?,
            "CMD" => found.command = words(rest)?,
            other => return Err(format!("{other}: who checks it?")),
        }
    }
    if found.user.0 == 0 || found.user.1 == 0 {
        return Err("it runs as root".to_owned());
    }
    Ok(found)
}

/// Whether something is copied from the build stage, from where, and to where.
fn copy(text: &str) -> Result<(bool, String, String), String> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    match parts[..] {
        ["--from=build", source, to] => Ok((true, source.to_owned(), to.to_owned())),
        [source, to] if !source.starts_with("--") => Ok((false, source.to_owned(), to.to_owned())),
        _ => Err(format!("COPY {text}: who checks it?")),
    }
}

/// Libraries that a program is linked with: the name it asks for, and where it is here.
fn libraries(program: &str) -> Vec<(String, PathBuf)> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let found = text.lines().filter_map(|line| {
        let path = line.split_whitespace().find(|word| word.starts_with('/'))?;
        let path = PathBuf::from(path);
        Some((path.file_name()?.to_str()?.to_owned(), path))
    });
    found.collect()
}

/// True for what the context of the build leaves out.
fn is_ignored(path: &str) -> bool {
    let ignored = fs::read_to_string(".dockerignore").unwrap();
    ignored.lines().any(|line| path == line || path.starts_with(&format!("{line}/")))
}

/// Lays the image out below a folder.
fn lay_out(image: &Image, root: &Path) -> Result<(), String> {
    let base = image.base.trim_end_matches(":nonroot");
    let known = BASES.iter().find(|(name, _)| *name == base);
    let (_, there) = known.ok_or_else(|| format!("{base}: nobody knows what is in it"))?;
    let put = |from: &Path, to: &str, mode: u32| -> Result<(), String> {
        let to = root.join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, &to).map_err(|error| format!("COPY {}: {error}", from.display()))?;
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).unwrap();
        Ok(())
    };
    for (name, path) in libraries(BINARY) {
        if !there.contains(&name.as_str()) {
            return Err(format!("{base} has no {name}"));
        }
        put(&path, path.to_str().unwrap(), 0o755)?;
    }
    for (built, from, to) in &image.copies {
        if *built {
            let mode = image.built.get(from);
            let mode = mode.ok_or_else(|| format!("the build leaves no {from}"))?;
            put(Path::new(BINARY), to, *mode)?;
        } else if is_ignored(from) {
            return Err(format!("COPY {from}: .dockerignore leaves it out"));
        } else {
            put(Path::new(from), to, 0o644)?;
        }
    }
    let program = image.entrypoint.first().ok_or("no ENTRYPOINT")?;
    let program = root.join(program.trim_start_matches('/'));
    let mode = fs::metadata(&program).map_err(|_error| "ENTRYPOINT is not there")?.permissions();
    if mode.mode() & 0o7777 != 0o755 {
        return Err(format!("ENTRYPOINT has mode {:o}", mode.mode() & 0o7777));
    }
    Ok(())
}

/// Runs the entrypoint with arguments, as the user of the image, with a network of its own.
fn run_in(image: &Image, root: &Path, args: &[String]) -> Child {
    let (user, group) = image.user;
    Command::new("unshare")
        .args(["--user", "--net", &format!("--map-user={user}"), &format!("--map-group={group}")])
        .arg(format!("--root={}", root.display()))
        .args(["--wd=/", "--"])
        .args(&image.entrypoint)
        .args(args)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Whether this machine lets anybody have a root of his own.
fn can_unshare() -> bool {
    let tried = Command::new("unshare")
        .args(["--user", "--net", "--map-user=65532", "--map-group=65532", "--root=/", "true"])
        .output();
    let can = tried.is_ok_and(|output| output.status.success());
    if !can {
        use std::io::Write as _;
        let _told = writeln!(std::io::stderr(), "skipped: unshare is not there or not allowed");
    }
    can
}

fn dockerfile() -> String {
    fs::read_to_string(DOCKERFILE).unwrap()
}

#[test]
fn the_image_says_what_it_is() {
    let image = read(&dockerfile()).unwrap();
    let label = |name: &str| image.labels[&format!("org.opencontainers.image.{name}")].as_str();
    let about = env!("CARGO_PKG_DESCRIPTION").split(':').next().unwrap();
    assert_eq!(label("title"), env!("CARGO_PKG_NAME"));
    assert_eq!(label("description"), about);
    assert_eq!(label("licenses"), "Apache-2.0");
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("revision"), "");
    assert_eq!(image.platforms, ["amd64", "arm64"]);
    assert!(image.base.ends_with(":nonroot"), "{}", image.base);
    assert!(dockerfile().contains("-bookworm AS build"), "Debian 12 builds for Debian 12");
}

/// What the sources include is not left out of the context.
#[test]
fn the_build_has_all_of_its_sources() {
    for needed in ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "askama.toml", "src"] {
        assert!(Path::new(needed).exists() && !is_ignored(needed), "{needed}");
    }
    for folder in ["tests/rules", "tests/common", "policies/default", "benches"] {
        assert!(Path::new(folder).exists() && !is_ignored(folder), "{folder}");
    }
    assert!(is_ignored("target/release") && !is_ignored("tests"));
}

#[test]
fn a_dockerfile_that_is_wrong_is_found_out() {
    for (old, new, says) in [
        ("cc-debian12", "static-debian12", "static-debian12 has no libgcc_s.so.1"),
        ("cc-debian12", "base-debian12", "base-debian12 has no libgcc_s.so.1"),
        ("cc-debian12", "cc-debian11", "nobody knows what is in it"),
        ("USER 65532:65532", "USER 0:0", "it runs as root"),
        ("USER 65532:65532", "USER nonroot", "USER is no number"),
        ("USER 65532:65532", "", "it runs as root"),
        (
            "/out/tidegate /usr/local/bin/tidegate",
            "/out/other /usr/local/bin/tidegate",
            "the build leaves no /out/other",
        ),
        (
            "/out/tidegate /usr/local/bin/tidegate",
            "/out/tidegate /bin/tidegate",
            "ENTRYPOINT is not there",
        ),
        ("-m 0755", "-m 0644", "ENTRYPOINT has mode 644"),
        ("-m 0755", "-m 4755", "ENTRYPOINT has mode 4755"),
        ("COPY LICENSE", "COPY LICENCE", "COPY LICENCE: No such file"),
        (
            "COPY LICENSE",
            "COPY docs/install.md",
            "COPY docs/install.md: .dockerignore leaves it out",
        ),
        (
            "ENTRYPOINT [\"/usr/local/bin/tidegate\"]",
            "ENTRYPOINT tidegate",
            "tidegate starts a shell",
        ),
        ("EXPOSE 8443 8080", "VOLUME /data", "VOLUME: who checks it?"),
    ] {
        let text = dockerfile().replace(old, new);
        assert_ne!(text, dockerfile(), "{old}");
        let folder = tempfile::tempdir().unwrap();
        let error = read(&text).and_then(|image| lay_out(&image, folder.path())).unwrap_err();
        assert!(error.contains(says), "{new}: {error}");
    }
}

#[tokio::test]
async fn the_image_runs_without_root_and_without_a_shell() {
    let image = read(&dockerfile()).unwrap();
    let root = Folder::new("image", "root");
    lay_out(&image, &root.0).unwrap();
    assert!(!root.0.join("bin/sh").exists());
    if !can_unshare() {
        return;
    }
    let version = run_in(&image, &root.0, &["--version".to_owned()]).wait_with_output().unwrap();
    let said = String::from_utf8(version.stdout).unwrap();
    assert!(said.starts_with(concat!("tidegate ", env!("CARGO_PKG_VERSION"))), "{said}");

    // As a kubelet starts it: what CMD says, with a certificate mounted where it says.
    let folder = image.command.iter().find_map(|arg| arg.strip_prefix("--tls-dir=")).unwrap();
    let tls = root.0.join(folder.trim_start_matches('/'));
    fs::create_dir_all(&tls).unwrap();
    let names = ["tidegate.tidegate.svc".to_owned()];
    let lifetimes = tidegate::pki::Lifetimes::default();
    let pair = tidegate::pki::Kept::new(&names, &lifetimes, jiff::Timestamp::now()).unwrap().pair();
    for (file, text) in [("tls.crt", &pair.chain), ("tls.key", &pair.key), ("ca.crt", &pair.bundle)]
    {
        fs::write(tls.join(file), text).unwrap();
    }
    let log = root.0.join("log");
    let mut args = image.command.clone();
    args.extend(["--drain=0s".to_owned(), "--decision-log=/log".to_owned()]);
    fs::write(&log, "").unwrap();
    let child = run_in(&image, &root.0, &args);
    let process = child.id();
    // Its ports are bound in a network of its own, so the kernel is asked.
    let ports: Vec<u16> = image.ports.iter().map(|port| port.parse().unwrap()).collect();
    eventually("both ports are open", || {
        let open = listening(process);
        ports.iter().all(|port| open.contains(port))
    })
    .await;
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let capabilities = status.lines().find(|line| line.starts_with("CapEff:")).unwrap();
    assert_eq!(capabilities.split_whitespace().nth(1), Some("0000000000000000"));
    let killed = Command::new("kill").args(["-s", "TERM", &process.to_string()]).status().unwrap();
    assert!(killed.success());
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
}

/// Ports that somebody listens on in the network of a process.
fn listening(process: u32) -> Vec<u16> {
    let table = fs::read_to_string(format!("/proc/{process}/net/tcp")).unwrap_or_default();
    let sockets = table.lines().skip(1).filter_map(|line| {
        let mut parts = line.split_whitespace().skip(1);
        let (local, state) = (parts.next()?, parts.nth(1)?);
        let (_, port) = local.split_once(':')?;
        (state == "0A").then(|| u16::from_str_radix(port, 16).ok())?
    });
    sockets.collect()
}

/// What a release builds is what the image is made for, and what the plugin's manifest can name.
#[test]
fn the_release_is_for_the_same_platforms() {
    let image = read(&dockerfile()).unwrap();
    let text = fs::read_to_string(".github/workflows/release.yml").unwrap();
    let workflow = crate::deploy::objects(&text).remove(0);
    let jobs = &workflow["jobs"];
    let matrix = jobs["binaries"]["strategy"]["matrix"]["include"].as_array().unwrap();
    let built: Vec<&str> = matrix.iter().map(|entry| entry["arch"].as_str().unwrap()).collect();
    assert_eq!(built, image.platforms);
    let steps = |job: &str| jobs[job]["steps"].as_array().unwrap().clone();
    let pushed = steps("image").into_iter().find(|step| step["with"]["platforms"].is_string());
    let pushed = pushed.unwrap()["with"].clone();
    let platforms: Vec<String> = built.iter().map(|arch| format!("linux/{arch}")).collect();
    assert_eq!(pushed["platforms"], platforms.join(","));
    assert_eq!((&pushed["file"], &pushed["sbom"]), (&DOCKERFILE.into(), &true.into()));
    assert!(
        dockerfile()
            .contains(&format!("{} AS build", jobs["binaries"]["container"].as_str().unwrap()))
    );
    let runs =
        |job: &str| steps(job).iter().map(|step| step["run"].to_string()).collect::<String>();
    assert!(runs("binaries").contains(".ci/sbom") && runs("binaries").contains(".cdx.json"));
    for script in [".ci/sbom", ".ci/notes", "deploy/krew/render"] {
        assert!(text.contains(script), "{script}");
        let mode = fs::metadata(script).unwrap().permissions().mode();
        assert!(mode & 0o111 != 0, "{script} cannot be run");
    }
}

/// `.ci/notes` gives what the changelog says of the newest version, or of the one to come.
#[test]
fn the_notes_are_those_of_the_newest_version() {
    let folder = Folder::new("image", "notes");
    let script = folder.0.join(".ci/notes");
    fs::create_dir_all(script.parent().unwrap()).unwrap();
    fs::copy(".ci/notes", &script).unwrap();
    let notes = |changelog: &str| {
        fs::write(folder.0.join("CHANGELOG.md"), changelog).unwrap();
        let output = Command::new(&script).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let first = "# Changelog\n\n## [Unreleased]\n\n- one\n";
    assert_eq!(notes(first), "- one\n");
    let released = "# Changelog\n\n## [Unreleased]\n\n- three\n\n## [0.2.0] - 2026-12-01\n\n\
                    ### Added\n\n- two\n\n## [0.1.0] - 2026-11-01\n\n- one\n";
    assert_eq!(notes(released), "### Added\n\n- two\n\n");
    assert!(notes(&fs::read_to_string("CHANGELOG.md").unwrap()).starts_with("### Added"));
}
