//! The two messages of the SSH agent protocol that signing takes.
//!
//! See <https://datatracker.ietf.org/doc/html/draft-ietf-sshm-ssh-agent>. Done here because the
//! client libraries stand on another release of `ssh-key` than verification does.

use std::{
    io::{Read, Write},
    time::Duration,
};

use anyhow::{Context as _, bail};
use ssh_key::{Signature, public::KeyData};

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// RSA signatures with SHA-512 instead of SHA-1.
const RSA_SHA2_512: u32 = 4;
/// The longest answer that is read, in bytes, as OpenSSH has it.
const LONGEST: usize = 256 * 1_024;
/// How long an agent may take: somebody may have to find the security key and touch it.
const PATIENCE: Duration = Duration::from_mins(2);

/// An agent, over anything that can be read and written.
#[derive(Debug)]
pub(super) struct Agent<S> {
    stream: S,
}

/// A key of an agent.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) key: KeyData,
    blob: Vec<u8>,
}

#[cfg(unix)]
impl Agent<std::os::unix::net::UnixStream> {
    /// The agent that `SSH_AUTH_SOCK` names.
    ///
    /// # Errors
    ///
    /// None is named, or it does not answer.
    pub(super) fn connect() -> anyhow::Result<Self> {
        let path = std::env::var_os("SSH_AUTH_SOCK")
            .filter(|path| !path.is_empty())
            .context("no ssh-agent: SSH_AUTH_SOCK is not set")?;
        let stream = std::os::unix::net::UnixStream::connect(&path)
            .with_context(|| format!("cannot reach the ssh-agent at {}", path.display()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream })
    }
}

impl<S: Read + Write> Agent<S> {
    /// The keys that it holds and that we can read; others, such as certificates, are left out.
    ///
    /// # Errors
    ///
    /// It does not answer as an agent does.
    pub(super) fn identities(&mut self) -> anyhow::Result<Vec<Identity>> {
        let answer = self.ask(&[REQUEST_IDENTITIES], IDENTITIES_ANSWER)?;
        let mut rest = answer.as_slice();
        let count = number(&mut rest)?;
        let mut identities = Vec::new();
        for _ in 0..count {
            let blob = string(&mut rest)?;
            string(&mut rest)?;
            if let Ok(key) = ssh_key::PublicKey::from_bytes(blob) {
                let key = key.key_data().clone();
                if !key.is_certificate() && !key.is_other() {
                    identities.push(Identity { key, blob: blob.to_vec() });
                }
            }
        }
        Ok(identities)
    }

    /// A signature of `data`.
    ///
    /// # Errors
    ///
    /// It refuses, or does not answer as an agent does.
    pub(super) fn sign(&mut self, identity: &Identity, data: &[u8]) -> anyhow::Result<Signature> {
        let mut request = vec![SIGN_REQUEST];
        for part in [identity.blob.as_slice(), data] {
            request.extend(u32::try_from(part.len())?.to_be_bytes());
            request.extend(part);
        }
        let flags = if identity.key.is_rsa() { RSA_SHA2_512 } else { 0 };
        request.extend(flags.to_be_bytes());
        let answer = self.ask(&request, SIGN_RESPONSE).context("the ssh-agent did not sign")?;
        let blob = string(&mut answer.as_slice())?;
        Signature::try_from(blob).context("the ssh-agent answered with no signature")
    }

    fn ask(&mut self, request: &[u8], wanted: u8) -> anyhow::Result<Vec<u8>> {
        self.stream.write_all(&u32::try_from(request.len())?.to_be_bytes())?;
        self.stream.write_all(request)?;
        self.stream.flush()?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).context("the ssh-agent does not answer")?;
        let length = usize::try_from(u32::from_be_bytes(length))?;
        if length == 0 || length > LONGEST {
            bail!("the ssh-agent answers with {length} bytes");
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).context("the ssh-agent breaks off its answer")?;
        if answer.first() != Some(&wanted) {
            bail!("the ssh-agent refuses");
        }
        answer.remove(0);
        Ok(answer)
    }
}

fn number(rest: &mut &[u8]) -> anyhow::Result<u32> {
    let (number, after) = rest.split_first_chunk().context("the ssh-agent's answer is cut")?;
    *rest = after;
    Ok(u32::from_be_bytes(*number))
}

fn string<'a>(rest: &mut &'a [u8]) -> anyhow::Result<&'a [u8]> {
    let length = usize::try_from(number(rest)?)?;
    let (string, after) = rest.split_at_checked(length).context("the ssh-agent's answer is cut")?;
    *rest = after;
    Ok(string)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that answers with fixed bytes.
    struct Fixed(Vec<u8>);

    impl Read for Fixed {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.0.as_slice().read(into).inspect(|count| drop(self.0.drain(..*count)))
        }
    }

    impl Write for Fixed {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn error_of(answer: &[u8]) -> String {
        let error = Agent { stream: Fixed(answer.to_vec()) }.identities().unwrap_err();
        format!("{error:#}")
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_an_error() {
        assert!(error_of(&[]).contains("does not answer"));
        assert!(error_of(&[0, 0, 0, 0]).contains("0 bytes"));
        assert!(error_of(&[255, 255, 255, 255]).contains("4294967295 bytes"));
        assert!(error_of(&[0, 0, 0, 9, 12]).contains("breaks off"));
        assert!(error_of(&[0, 0, 0, 1, 5]).contains("refuses"));
        assert!(error_of(&[0, 0, 0, 5, 12, 0, 0, 0, 1]).contains("is cut"));
        assert!(error_of(&[0, 0, 0, 9, 12, 0, 0, 0, 1, 0, 0, 0, 9]).contains("is cut"));
        let none = Agent { stream: Fixed(vec![0, 0, 0, 5, 12, 0, 0, 0, 0]) }.identities();
        assert_eq!(none.unwrap().len(), 0);
    }
}
