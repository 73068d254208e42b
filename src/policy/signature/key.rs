//! Which keys are good enough, and whether they made a signature.

use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents,
};
use ssh_key::{
    Algorithm, HashAlg, PublicKey, SshSig,
    public::{KeyData, RsaPublicKey},
};

use super::NAMESPACE;

/// The smallest RSA key that counts, in bits: what NIST SP 800-57 has last beyond 2030.
const LEAST_RSA_BITS: usize = 3_072;
/// The largest RSA key that is verified, in bits.
const MOST_RSA_BITS: usize = 8_192;
/// In the flags of a security key's signature: somebody touched it.
const USER_PRESENT: u8 = 1;
/// Flags and counter at the end of a security key's signature, in bytes.
const TRAILER: usize = 5;

const ALTERED: &str = "is of another approval, or one of the two was altered";

/// What is wrong with a key that is to be allowed.
pub(super) fn check(key: &KeyData) -> Result<(), String> {
    match key {
        KeyData::Ed25519(_)
        | KeyData::SkEd25519(_)
        | KeyData::Ecdsa(_)
        | KeyData::SkEcdsaSha2NistP256(_) => Ok(()),
        KeyData::Rsa(key) => match bits(key) {
            bits @ ..LEAST_RSA_BITS => {
                Err(format!("an RSA key of {bits} bits is too short: {LEAST_RSA_BITS} or more"))
            }
            bits if bits > MOST_RSA_BITS => {
                Err(format!("an RSA key of {bits} bits is too long: {MOST_RSA_BITS} at most"))
            }
            _ => Ok(()),
        },
        other => Err(format!(
            "keys of type `{}` are not supported: use Ed25519, ECDSA, RSA or a security key",
            other.algorithm()
        )),
    }
}

fn bits(key: &RsaPublicKey) -> usize {
    let modulus = key.n().as_positive_bytes().unwrap_or_default();
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros());
    modulus.len().saturating_mul(8).saturating_sub(usize::try_from(unused).unwrap_or_default())
}

/// Whether the key in `signature` made it over `text`. The key itself is not judged.
pub(super) fn verify(signature: &SshSig, text: &[u8]) -> Result<(), &'static str> {
    match signature.public_key() {
        KeyData::Rsa(key) => verify_rsa(key, signature, text),
        KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) if !was_touched(signature) => {
            Err("was made without a touch of the security key")
        }
        key => PublicKey::from(key.clone())
            .verify(NAMESPACE, text, signature)
            .map_err(|_error| ALTERED),
    }
}

/// OpenSSH, too, asks for a touch unless it is told otherwise.
fn was_touched(signature: &SshSig) -> bool {
    let bytes = signature.signature_bytes();
    let flags = bytes.len().checked_sub(TRAILER).and_then(|at| bytes.get(at));
    flags.is_some_and(|flags| flags & USER_PRESENT != 0)
}

/// By ring, because the `rsa` crate that `ssh-key` would use has an advisory that nobody mended
/// (RUSTSEC-2023-0071).
fn verify_rsa(key: &RsaPublicKey, signature: &SshSig, text: &[u8]) -> Result<(), &'static str> {
    let parameters = match signature.algorithm() {
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) } => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) } => &RSA_PKCS1_2048_8192_SHA512,
        _ => return Err("was made with an algorithm that is no longer safe"),
    };
    let (Some(n), Some(e)) = (key.n().as_positive_bytes(), key.e().as_positive_bytes()) else {
        return Err(ALTERED);
    };
    let data = SshSig::signed_data(NAMESPACE, signature.hash_alg(), text);
    let data = data.map_err(|_error| ALTERED)?;
    RsaPublicKeyComponents { n, e }
        .verify(parameters, &data, signature.signature_bytes())
        .map_err(|_error| ALTERED)
}
