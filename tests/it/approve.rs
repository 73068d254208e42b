//! `tidegate digest`, `approve` and `verify` as users meet them.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use ssh_key::{LineEnding, PrivateKey, private::Ed25519Keypair};

const JOB: &str = "\
# Drops what the last release stopped using.
apiVersion: batch/v1
kind: Job
metadata:
  name: drop # keep
  annotations:
    argocd.argoproj.io/hook: PreSync
    argocd.argoproj.io/hook-delete-policy: BeforeHookCreation
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
        - {name: sql, image: postgres, command: [psql, -c, DROP TABLE a]} # the step
";
const HARMLESS: &str = "\
apiVersion: batch/v1
kind: Job
metadata: {name: up}
spec: {template: {spec: {containers: [{name: a, image: a, command: [alembic, upgrade, head]}]}}}
";
const BY: [&str; 6] = ["--by", "alice@example.com", "--ticket", "DB-1", "--namespace", "shop"];

fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("approve").join(name);
    let _gone = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    for (file, text) in files {
        fs::write(folder.join(file), text).unwrap();
    }
    folder
}

fn tidegate(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.current_dir(folder).args(args).stdin(Stdio::null()).env_remove("SSH_AUTH_SOCK");
    let Output { status, stdout, stderr } = command.envs(env.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn approve(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    tidegate(folder, &[&["approve"], args, &BY].concat(), &[])
}

/// A key in a file, and a policy that lets only that key approve.
fn key(folder: &Path, seed: u8) -> String {
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]));
    let public = key.public_key().to_openssh().unwrap();
    let file = folder.join("key");
    fs::write(&file, key.to_openssh(LineEnding::LF).unwrap().as_bytes()).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(folder.join("key.pub"), &public).unwrap();
    let policy = format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: MigrationPolicy\nmetadata: {{name: p}}\nspec:\n  \
         approvals:\n    signatures:\n      required: true\n      allowedSigners: |\n        \
         alice@example.com namespaces=\"tidegate.dev/approval\" {public}\n"
    );
    fs::write(folder.join("policy.yaml"), policy).unwrap();
    public
}

#[test]
fn digests_are_listed() {
    let map = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: sql}\ndata: {a: b}\n";
    let folder = folder("digests", &[("a.yaml", &format!("{JOB}---\n{HARMLESS}{map}"))]);
    let (code, stdout, stderr) = tidegate(&folder, &["digest", "a.yaml"], &[]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let names: Vec<&str> = stdout.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(names, ["Job/drop", "Job/up"]);
    assert!(stdout.lines().all(|line| line.starts_with("sha256:")), "{stdout}");
    let (code, stdout, _) = tidegate(&folder, &["digest", "a.yaml", "--content"], &[]);
    assert!(stdout.lines().all(|line| line.contains(" content=sha256:")), "{stdout}");
    assert_eq!(code, Some(0));
    let refers = JOB.replace("command:", "envFrom: [{configMapRef: {name: gone}}], command:");
    fs::write(folder.join("b.yaml"), refers).unwrap();
    let (code, _, stderr) = tidegate(&folder, &["digest", "b.yaml", "--content"], &[]);
    assert_eq!(code, Some(2));
    assert_eq!(stderr, "error: b.yaml:2:1: ConfigMap `gone` is not in reach\n");
}

#[test]
fn an_approved_manifest_keeps_everything_else_and_holds() {
    let folder = folder("yaml", &[("a.yaml", JOB)]);
    let (code, stdout, stderr) =
        approve(&folder, &["a.yaml", "--output", "yaml", "--backup-waiver", "it's empty"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let kept: String =
        stdout.split_inclusive('\n').filter(|line| !line.contains("tidegate.dev/")).collect();
    assert_eq!(kept, JOB);
    assert_eq!(stdout.lines().count(), JOB.lines().count() + 6);
    fs::write(folder.join("b.yaml"), &stdout).unwrap();
    let (code, stdout, _) = tidegate(&folder, &["check", "b.yaml", "--namespace", "shop"], &[]);
    assert!(!stdout.contains("unapproved"), "{code:?} {stdout}");
    let (code, stdout, _) = tidegate(&folder, &["verify", "b.yaml", "--namespace", "shop"], &[]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("destructive holds: `psql -c` of container `sql`"), "{stdout}");
    assert!(stdout.contains("by          alice@example.com\n"), "{stdout}");
    assert!(stdout.contains("signature   none\n"), "{stdout}");
    let (code, stdout, _) = tidegate(&folder, &["verify", "b.yaml", "--namespace", "prod"], &[]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("- `tidegate.dev/approved-namespace` names another"), "{stdout}");
    let at = ["verify", "b.yaml", "--namespace", "shop", "--at", "2099-01-01T00:00:00Z"];
    let (code, stdout, _) = tidegate(&folder, &at, &[]);
    assert_eq!(code, Some(1));
    assert!(stdout.contains("- it ended at "), "{stdout}");
    // What the earlier approval waived is not waived again unseen.
    let (code, _, stderr) = approve(&folder, &["b.yaml"]);
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("carries `tidegate.dev/backup-waiver` of an earlier approval"),
        "{stderr}"
    );
}

#[test]
fn every_form_says_the_same() {
    let folder = folder("forms", &[("a.yaml", JOB)]);
    let (_, lines, _) = approve(&folder, &["a.yaml"]);
    assert!(lines.lines().all(|line| line.starts_with("tidegate.dev/")), "{lines}");
    let (_, patch, _) = approve(&folder, &["a.yaml", "--output", "kustomize"]);
    assert!(patch.starts_with("apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: drop\n  annotations:\n    tidegate.dev/approved-digest: "), "{patch}");
    let reason = ["a.yaml", "--output", "kubectl", "--reason", "it's $HOME"];
    let (_, command, _) = approve(&folder, &reason);
    assert!(
        command.starts_with("kubectl annotate Job.v1.batch/drop --namespace shop --overwrite"),
        "{command}"
    );
    assert!(command.contains(r"'tidegate.dev/approval-reason=it'\''s $HOME'"), "{command}");
    let generated = JOB.replace("name: drop", "generateName: drop-");
    fs::write(folder.join("b.yaml"), generated).unwrap();
    let (code, _, stderr) = approve(&folder, &["b.yaml", "--output", "kubectl"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("its name is generated"), "{stderr}");
}

#[test]
fn what_would_not_hold_is_not_printed() {
    let two = format!("{JOB}---\n{}", JOB.replace("name: drop", "name: other"));
    let folder = folder("errors", &[("a.yaml", JOB), ("up.yaml", HARMLESS), ("two.yaml", &two)]);
    key(&folder, 1);
    let many = ["two.yaml", "--name", "Job/gone"];
    let by = ["approve", "a.yaml", "--by", "alice@example.com"];
    for (args, want) in [
        ([&["approve", "up.yaml"][..], &BY].concat(), "nothing in the input needs an approval"),
        (
            [&["approve", "two.yaml"][..], &BY].concat(),
            "say which with --name\n  Job/drop\n  Job/other",
        ),
        ([&["approve"][..], &many, &BY].concat(), "there is no `Job/gone` in the input that needs"),
        (by.to_vec(), "say which with --namespace"),
        ([&by[..], &["--namespace", "shop"]].concat(), "`tidegate.dev/approval-ticket` is missing"),
        ([&["approve", "a.yaml", "--for", "100h"][..], &BY].concat(), "further away than the 72h"),
        (
            [&["approve", "a.yaml", "--policy", "policy.yaml"][..], &BY].concat(),
            "`tidegate.dev/approval-signature` is missing",
        ),
        ([&["approve", "a.yaml", "--sign-agent"][..], &BY].concat(), "SSH_AUTH_SOCK is not set"),
        ([&["approve", "a.yaml", "--sign-key", "gone"][..], &BY].concat(), "cannot read key gone"),
        (
            [&["approve", "a.yaml", "--sign-key", "a.yaml"][..], &BY].concat(),
            "a.yaml is no OpenSSH key",
        ),
        ([&["approve", "gone.yaml"][..], &BY].concat(), "there is no such file"),
    ] {
        let (code, stdout, stderr) = tidegate(&folder, &args, &[]);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(stderr.contains(want), "{args:?}: {stderr}");
    }
    let (code, stdout, _) =
        approve(&folder, &["two.yaml", "--name", "Job/other", "--output", "yaml"]);
    assert_eq!(code, Some(0));
    let (first, second) = stdout.split_once("---\n").unwrap();
    assert_eq!(first, JOB);
    assert!(second.contains("tidegate.dev/approved-by"), "{second}");
}

#[test]
fn verify_says_what_cannot_be_read_and_that_nothing_is_needed() {
    let folder =
        folder("verify", &[("up.yaml", HARMLESS), ("broken.yaml", "kind: [\n"), ("a.yaml", JOB)]);
    let (code, stdout, _) = tidegate(&folder, &["verify", "up.yaml"], &[]);
    assert_eq!((code, stdout.as_str()), (Some(0), "nothing in the input needs an approval\n"));
    let (code, _, stderr) = tidegate(&folder, &["verify", "broken.yaml"], &[]);
    assert_eq!(code, Some(2), "{stderr}");
    let (code, stdout, _) = tidegate(&folder, &["verify", "a.yaml"], &[]);
    assert_eq!(code, Some(1));
    assert!(stdout.contains("destructive is missing"), "{stdout}");
}

#[test]
fn a_signed_approval_holds_and_a_protected_key_needs_a_terminal() {
    let folder = folder("signed", &[("a.yaml", JOB)]);
    key(&folder, 1);
    let policy = ["--policy", "policy.yaml"];
    let sign = ["a.yaml", "--output", "yaml", "--sign-key", "key"];
    let (code, stdout, stderr) = approve(&folder, &[&sign[..], &policy].concat());
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    fs::write(folder.join("b.yaml"), &stdout).unwrap();
    let verify = ["verify", "b.yaml", "--namespace", "shop", "--policy", "policy.yaml"];
    let (code, stdout, _) = tidegate(&folder, &verify, &[]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(
        stdout.contains("signature   SHA256:") && stdout.contains("(ssh-ed25519)\n"),
        "{stdout}"
    );
    let altered = fs::read_to_string(folder.join("b.yaml")).unwrap().replace("DB-1", "DB-2");
    fs::write(folder.join("b.yaml"), altered).unwrap();
    let (code, stdout, _) = tidegate(&folder, &verify, &[]);
    assert_eq!(code, Some(1));
    assert!(stdout.contains("is of another approval"), "{stdout}");
    key(&folder, 2);
    let other = fs::read(folder.join("key")).unwrap();
    key(&folder, 1);
    fs::write(folder.join("key"), other).unwrap();
    let (code, _, stderr) = approve(&folder, &[&sign[..], &policy].concat());
    assert_eq!(code, Some(2));
    assert!(stderr.contains("which the policy does not list"), "{stderr}");
}

/// Says in plain sight that a program is not there.
fn not_tested(program: &str) {
    let _gone = writeln!(std::io::stderr(), "not tested: `{program}` is not installed");
}

/// Runs a program of OpenSSH; none where it is not installed, which is said.
fn openssh(
    program: &str,
    args: &[&str],
    folder: &Path,
    env: &[(&str, &str)],
    input: &str,
) -> Option<(bool, String)> {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).envs(env.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        not_tested(program);
        return None;
    };
    // One that ends before it has read everything says why in its output.
    let _cut = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

#[test]
fn ssh_keygen_verifies_what_we_sign() {
    let folder = folder("keygen", &[("a.yaml", JOB)]);
    let public = key(&folder, 1);
    let (_, lines, _) = approve(&folder, &["a.yaml", "--sign-key", "key"]);
    let document = tidegate::source::documents(&lines).remove(0).unwrap();
    let value = document.value();
    let text = tidegate::policy::signed_text(|key| value[key].as_str());
    let signature = value["tidegate.dev/approval-signature"].as_str().unwrap();
    let armored =
        format!("-----BEGIN SSH SIGNATURE-----\n{signature}\n-----END SSH SIGNATURE-----\n");
    fs::write(folder.join("sig"), armored).unwrap();
    fs::write(folder.join("allowed"), format!("alice@example.com {public}\n")).unwrap();
    let args = [
        "-Y",
        "verify",
        "-f",
        "allowed",
        "-I",
        "alice@example.com",
        "-n",
        "tidegate.dev/approval",
        "-s",
        "sig",
    ];
    let Some((good, said)) = openssh("ssh-keygen", &args, &folder, &[], &text) else { return };
    assert!(good && said.contains("Good \"tidegate.dev/approval\" signature"), "{said}");
    let altered = text.replace("DB-1", "DB-2");
    let (good, said) = openssh("ssh-keygen", &args, &folder, &[], &altered).unwrap();
    assert!(!good, "{said}");
}

#[test]
fn a_protected_key_is_refused_without_a_terminal_and_opened_by_none() {
    let folder = folder("protected", &[("a.yaml", JOB)]);
    key(&folder, 1);
    let protect = ["-q", "-p", "-N", "secret", "-P", "", "-f", "key"];
    let Some((good, said)) = openssh("ssh-keygen", &protect, &folder, &[], "") else { return };
    assert!(good, "{said}");
    let (code, _, stderr) = approve(&folder, &["a.yaml", "--sign-key", "key"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("protected by a passphrase and there is no terminal"), "{stderr}");
}

/// An agent that is gone when the test is.
struct Agent {
    socket: String,
    child: std::process::Child,
}

impl Agent {
    fn start(folder: &Path) -> Option<Self> {
        // A socket's path may be 108 bytes long, which that of a build folder may exceed.
        let name =
            format!("tidegate-agent-{}-{}", std::process::id(), folder.file_name()?.to_str()?);
        let socket = std::env::temp_dir().join(name).display().to_string();
        let _gone = fs::remove_file(&socket);
        let spawned =
            Command::new("ssh-agent").args(["-D", "-a", &socket]).stdout(Stdio::null()).spawn();
        let Ok(child) = spawned else {
            not_tested("ssh-agent");
            return None;
        };
        let agent = Self { socket, child };
        let start = std::time::Instant::now();
        while !Path::new(&agent.socket).exists() {
            assert!(start.elapsed() < super::support::PATIENCE, "the ssh-agent does not start");
            std::thread::yield_now();
        }
        Some(agent)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_file(&self.socket));
    }
}

#[test]
fn a_real_agent_signs() {
    let folder = folder("agent", &[("a.yaml", JOB)]);
    key(&folder, 1);
    let Some(agent) = Agent::start(&folder) else { return };
    let env = [("SSH_AUTH_SOCK", agent.socket.as_str())];
    let approve = |args: &[&str]| {
        let first = ["approve", "a.yaml", "--policy", "policy.yaml"];
        tidegate(&folder, &[&first, args, &BY].concat(), &env)
    };
    let (code, _, stderr) = approve(&["--sign-agent"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("holds no key"), "{stderr}");
    let add = |key: &str| openssh("ssh-add", &["-q", key], &folder, &env, "").unwrap();
    assert!(add("key").0);
    let (code, stdout, stderr) = approve(&["--sign-agent"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("tidegate.dev/approval-signature: "), "{stdout}");
    let rsa = ["-q", "-t", "rsa", "-b", "3072", "-N", "", "-f", "rsa"];
    assert!(openssh("ssh-keygen", &rsa, &folder, &[], "").unwrap().0);
    assert!(add("rsa").0);
    let (code, _, stderr) = approve(&["--sign-agent"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("holds several keys"), "{stderr}");
    assert_eq!(approve(&["--sign-key", "key.pub"]).0, Some(0));
    // RSA keys sign through the agent only; the policy above lists only the other key.
    let rsa = fs::read_to_string(folder.join("rsa.pub")).unwrap();
    let policy = fs::read_to_string(folder.join("policy.yaml")).unwrap();
    fs::write(folder.join("policy.yaml"), format!("{policy}        alice@example.com {rsa}"))
        .unwrap();
    let (code, _, stderr) = approve(&["--sign-key", "rsa.pub"]);
    assert_eq!(code, Some(0), "{stderr}");
    let (code, _, stderr) = approve(&["--sign-key", "rsa"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("load it into an ssh-agent and use --sign-agent"), "{stderr}");
    assert!(openssh("ssh-add", &["-q", "-d", "key.pub"], &folder, &env, "").unwrap().0);
    let (code, _, stderr) = approve(&["--sign-key", "key.pub"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("does not hold the key SHA256:"), "{stderr}");
}
