//! Signing an approval, with a key file or through the running ssh-agent.

use std::{
    fs,
    io::{self, IsTerminal as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ssh_key::{HashAlg, PrivateKey, PublicKey, SshSig, encoding::Encode as _, public::KeyData};

use super::agent::Agent;
use crate::policy::SIGNATURE_NAMESPACE;

/// The largest key file that is read, in bytes.
const LONGEST: u64 = 64 * 1_024;

/// What signs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signer<'a> {
    /// A private key, or the public half of one that the agent holds.
    pub(super) key: Option<&'a Path>,
    /// Whether the agent signs.
    pub(super) agent: bool,
}

impl Signer<'_> {
    /// A signature of `text`, in one line.
    ///
    /// # Errors
    ///
    /// There is no such key, it is protected and nobody can be asked, or the agent refuses.
    pub(super) fn sign(self, text: &str) -> anyhow::Result<String> {
        let signature = match self.key {
            Some(path) => match read(path)? {
                Key::Private(key) if !self.agent => with_key(&key, text)?,
                Key::Private(key) => with_agent(Some(key.public_key().key_data()), text)?,
                Key::Public(key) => with_agent(Some(key.key_data()), text)?,
            },
            None => with_agent(None, text)?,
        };
        Ok(BASE64_STANDARD.encode(signature.encode_vec()?))
    }
}

enum Key {
    Private(Box<PrivateKey>),
    Public(Box<PublicKey>),
}

fn read(path: &Path) -> anyhow::Result<Key> {
    let file = path.display();
    let size = fs::metadata(path).with_context(|| format!("cannot read key {file}"))?.len();
    if size > LONGEST {
        bail!("key {file} is longer than any key");
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read key {file}"))?;
    if let Ok(key) = PublicKey::from_openssh(&text) {
        return Ok(Key::Public(Box::new(key)));
    }
    let key = PrivateKey::from_openssh(&text).with_context(|| {
        format!(
            "{file} is no OpenSSH key: convert another kind with `ssh-keygen -p -f {file}`, or \
             load it into an ssh-agent and use --sign-agent"
        )
    })?;
    Ok(Key::Private(Box::new(key)))
}

fn with_key(key: &PrivateKey, text: &str) -> anyhow::Result<SshSig> {
    let decrypted;
    let key = if key.is_encrypted() {
        if !io::stdin().is_terminal() {
            bail!(
                "the key is protected by a passphrase and there is no terminal to ask on: load it \
                 into an ssh-agent and use --sign-agent"
            );
        }
        let passphrase = rpassword::prompt_password("Passphrase of the key: ")
            .context("cannot ask for the passphrase: use --sign-agent")?;
        decrypted = key.decrypt(passphrase).context("the passphrase does not open the key")?;
        &decrypted
    } else {
        key
    };
    key.sign(SIGNATURE_NAMESPACE, HashAlg::Sha512, text.as_bytes()).with_context(|| {
        format!(
            "keys of type `{}` are not signed with from a file: load it into an ssh-agent and use \
             --sign-agent",
            key.algorithm()
        )
    })
}

#[cfg(unix)]
fn with_agent(wanted: Option<&KeyData>, text: &str) -> anyhow::Result<SshSig> {
    let mut agent = Agent::connect()?;
    let mut identities = agent.identities()?;
    let name = |key: &KeyData| key.fingerprint(HashAlg::Sha256).to_string();
    if let Some(wanted) = wanted {
        identities.retain(|identity| identity.key == *wanted);
        if identities.is_empty() {
            bail!("the ssh-agent does not hold the key {}: `ssh-add` it", name(wanted));
        }
    }
    let identity = match identities.as_slice() {
        [] => bail!("the ssh-agent holds no key: `ssh-add` one"),
        [identity] => identity,
        several => {
            let names: Vec<String> = several.iter().map(|identity| name(&identity.key)).collect();
            bail!(
                "the ssh-agent holds several keys: say which with --sign-key KEY.pub\n  {}",
                names.join("\n  ")
            );
        }
    };
    let data = SshSig::signed_data(SIGNATURE_NAMESPACE, HashAlg::Sha512, text.as_bytes())?;
    let signature = agent.sign(identity, &data)?;
    Ok(SshSig::new(identity.key.clone(), SIGNATURE_NAMESPACE, HashAlg::Sha512, signature)?)
}

#[cfg(not(unix))]
fn with_agent(_wanted: Option<&KeyData>, _text: &str) -> anyhow::Result<SshSig> {
    bail!("an ssh-agent can be used on Unix only: use --sign-key")
}
