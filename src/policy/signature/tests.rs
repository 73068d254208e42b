use ssh_key::{
    Algorithm, LineEnding, Mpint, PrivateKey, PublicKey, Signature,
    private::Ed25519Keypair,
    public::{Ed25519PublicKey, RsaPublicKey, SkEd25519},
    sha2::{Digest as _, Sha256},
};

use super::*;

const TEXT: &str = include_str!("../../../tests/signatures/text");
const NOW: &str = "2026-06-01T12:00:00Z";

macro_rules! vector {
    ($name:literal) => {
        (
            include_str!(concat!("../../../tests/signatures/", $name, ".pub")),
            include_str!(concat!("../../../tests/signatures/", $name, ".sig")),
        )
    };
}

fn policy(allowed: &str) -> Signatures {
    Signatures {
        required: true,
        allowed_signers: AllowedSigners::try_from(allowed.to_owned()).unwrap(),
        revoked_keys: Vec::new(),
    }
}

fn check(policy: &Signatures, signature: &str, text: &str) -> Result<(), String> {
    let Ok(now) = NOW.parse() else { panic!("{NOW}") };
    policy.check(Some(signature), Some("alice@example.com"), text, now)
}

fn load_error(allowed: &str) -> String {
    AllowedSigners::try_from(allowed.to_owned()).unwrap_err()
}

#[test]
fn signatures_of_ssh_keygen_are_verified() {
    for (key, signature) in [
        vector!("ed25519"),
        vector!("ecdsa-256"),
        vector!("ecdsa-384"),
        vector!("ecdsa-521"),
        vector!("rsa-3072"),
    ] {
        let policy = policy(&format!("*@example.com namespaces=\"tidegate.dev/*\" {key}"));
        assert_eq!(check(&policy, signature, TEXT), Ok(()), "{key}");
        let altered = TEXT.replace("DB-1", "DB-2");
        let error = check(&policy, signature, &altered).unwrap_err();
        assert!(error.contains("is of another approval"), "{key}: {error}");
        let one_line = bare(signature);
        assert_eq!(check(&policy, &one_line, TEXT), Ok(()), "{key}");
        let windows = signature.replace('\n', "\r\n");
        assert_eq!(check(&policy, &windows, TEXT), Ok(()), "{key}");
        assert!(signer(signature).unwrap().0.starts_with("SHA256:"));
    }
}

#[test]
fn a_signature_of_something_else_or_by_somebody_else_is_none() {
    let (key, good) = vector!("ed25519");
    let (other_key, other) = vector!("ecdsa-256");
    let alice = policy(&format!("alice@example.com {key}"));
    let of_git = include_str!("../../../tests/signatures/of-git.sig");
    let bob = policy(&format!("bob@example.com {key}\n*,!alice@* {key}"));
    let commits = policy(&format!("alice@example.com namespaces=\"git\" {key}"));
    let revoked = |text: &str| Signatures {
        revoked_keys: vec![RevokedKey::try_from(text.to_owned()).unwrap()],
        ..alice.clone()
    };
    let fingerprint = signer(good).unwrap().0;
    let late = policy(&format!("alice@example.com valid-after=\"20260602Z\" {key}"));
    let early = policy(&format!("alice@example.com valid-before=\"202606011200Z\" {key}"));
    for (policy, signature, want) in [
        (&alice, of_git, "was made for another purpose than `tidegate.dev/approval`"),
        (&alice, other, "which the policy does not list"),
        (&bob, good, "which may not sign as the one whom `tidegate.dev/approved-by` names"),
        (&commits, good, "which may not sign approvals"),
        (&late, good, "which is not valid yet"),
        (&early, good, "which is no longer valid"),
        (&revoked(key), good, "which is revoked"),
        (&revoked(&fingerprint), good, "which is revoked"),
        (&alice, "AAAA", "is no OpenSSH signature"),
        (&alice, "%", "is no OpenSSH signature"),
        (&alice, "-----BEGIN SSH SIGNATURE-----", "is no OpenSSH signature"),
        (&alice, &"A".repeat(10_000), "is longer than any OpenSSH signature"),
    ] {
        let error = check(policy, signature, TEXT).unwrap_err();
        assert!(error.contains(want), "{error}");
    }
    assert_eq!(check(&revoked(other_key), good, TEXT), Ok(()));
    let both = policy(&format!("bob@example.com {key}\nalice@example.com {key}"));
    assert_eq!(check(&both, good, TEXT), Ok(()), "one line is enough");
    let missing = alice.check(None, Some("alice@example.com"), TEXT, NOW.parse().unwrap());
    assert!(missing.unwrap_err().contains("is missing"));
}

#[test]
fn every_cut_and_every_flip_of_a_signature_is_refused_without_a_panic() {
    let (key, good) = vector!("ed25519");
    let policy = policy(&format!("alice@example.com {key}"));
    let bytes = BASE64_STANDARD.decode(bare(good).as_bytes()).unwrap();
    for at in 0..bytes.len() {
        let cut = BASE64_STANDARD.encode(&bytes[..at]);
        assert!(check(&policy, &cut, TEXT).is_err(), "cut at {at}");
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        let flipped = BASE64_STANDARD.encode(&flipped);
        assert!(check(&policy, &flipped, TEXT).is_err(), "flipped at {at}");
    }
    let longer = BASE64_STANDARD.encode([bytes.as_slice(), b"x"].concat());
    assert!(check(&policy, &longer, TEXT).is_err());
}

#[test]
fn a_list_that_makes_no_sense_is_an_error_with_line_and_field() {
    let (key, _) = vector!("ed25519");
    let (short, _) = vector!("rsa-2048");
    let dsa = "ssh-dss AAAAB3NzaC1kc3MAAAABAwAAAAEDAAAAAQMAAAABAw==";
    for (line, want) in [
        ("alice", "key: is missing"),
        ("alice ssh-ed25519 AAAA", "key: is no public key"),
        (&format!("alice {short}"), "key: an RSA key of 2048 bits is too short"),
        (&format!("alice {dsa}"), "key: "),
        (&format!("alice cert-authority {key}"), "cert-authority: certificates are not supported"),
        (&format!("alice namespace=\"x\" {key}"), "options: there is no option `namespace`"),
        (&format!("alice namespaces=\"\" {key}"), "namespaces: nothing is named"),
        (&format!("!alice {key}"), "principals: nothing is named"),
        (&format!("alice valid-after=\"20260131\" {key}"), "valid-after: is no time in UTC"),
        (&format!("alice valid-before=\"20261331Z\" {key}"), "valid-before: is no time in UTC"),
        (&format!("alice valid-before=\"+5Z\" {key}"), "valid-before: is no time in UTC"),
    ] {
        let error = load_error(&format!("# keys\n\n{line}\n"));
        assert!(error.starts_with("line 3: "), "{error}");
        assert!(error.contains(want), "{error}");
    }
    assert!(RevokedKey::try_from("SHA1:x".to_owned()).is_err());
    let quoted =
        format!("\"alice@example.com,bob\" VALID-AFTER=20250101Z,namespaces=\"a,*\" {key}");
    assert!(!AllowedSigners::try_from(quoted).unwrap().is_empty());
}

/// A security key signs what the agent hands it together with flags and a counter.
fn touched(flags: u8) -> (SkEd25519, String) {
    let pair = Ed25519Keypair::from_seed(&[7; 32]);
    let key = SkEd25519::new(Ed25519PublicKey(pair.public.0), "ssh:");
    let data = SshSig::signed_data(NAMESPACE, HashAlg::Sha512, TEXT.as_bytes()).unwrap();
    let trailer = [flags, 0, 0, 0, 9];
    let hashed = [&Sha256::digest("ssh:")[..], &trailer, &Sha256::digest(data)[..]].concat();
    let signer = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let data = [signer.sign(&hashed).as_ref(), &trailer].concat();
    let signature = Signature::new(Algorithm::SkEd25519, data).unwrap();
    let signature =
        SshSig::new(KeyData::SkEd25519(key.clone()), NAMESPACE, HashAlg::Sha512, signature);
    (key, signature.unwrap().to_pem(LineEnding::LF).unwrap())
}

#[test]
fn a_security_key_must_have_been_touched() {
    let (key, signature) = touched(1);
    let line = PublicKey::from(KeyData::SkEd25519(key)).to_openssh().unwrap();
    let policy = policy(&format!("alice@example.com {line}"));
    assert_eq!(check(&policy, &signature, TEXT), Ok(()));
    let (_, untouched) = touched(0);
    let error = check(&policy, &untouched, TEXT).unwrap_err();
    assert!(error.contains("without a touch"), "{error}");
}

#[test]
fn what_we_sign_is_what_we_verify() {
    let private = PrivateKey::from(Ed25519Keypair::from_seed(&[1; 32]));
    let key = private.public_key().to_openssh().unwrap();
    let policy = policy(&format!("alice@example.com {key}"));
    let text = signed_text(|key| (key == annotation::TICKET).then_some(" DB-1\n"));
    assert_eq!(text, "tidegate.dev/approval/v1\ntidegate.dev/approval-ticket: DB-1\n");
    let signature = private.sign(NAMESPACE, HashAlg::Sha512, text.as_bytes()).unwrap();
    let pem = signature.to_pem(LineEnding::LF).unwrap();
    assert_eq!(check(&policy, &pem, &text), Ok(()));
}

#[test]
fn a_policy_without_keys_reads_no_signature_unless_it_wants_one() {
    let now = NOW.parse().unwrap();
    let nobody = Signatures::default();
    assert_eq!(nobody.problem(), None);
    assert_eq!(nobody.check(Some("AAAA"), None, TEXT, now), Ok(()), "it says nothing of them");
    let required = Signatures { required: true, ..Signatures::default() };
    assert_eq!(required.problem(), Some("must name a key, because `required` is true"));
    let unread = required.check(Some("AAAA"), None, TEXT, now).unwrap_err();
    assert!(unread.starts_with("`tidegate.dev/approval-signature` "), "{unread}");
    let missing = required.check(None, None, TEXT, now).unwrap_err();
    assert_eq!(missing, "`tidegate.dev/approval-signature` is missing");
    let (key, good) = vector!("ed25519");
    let strict = policy(&format!("alice@example.com {key}"));
    assert_eq!(strict.problem(), None);
    let optional = Signatures { required: false, ..strict };
    assert_eq!(optional.problem(), None);
    assert_eq!(optional.check(None, None, TEXT, now), Ok(()), "none is wanted");
    assert!(optional.check(Some("AAAA"), None, TEXT, now).is_err(), "one that is there counts");
    assert_eq!(check(&optional, good, TEXT), Ok(()));
}

#[test]
fn a_signature_may_be_as_long_as_one_and_no_longer() {
    let (key, good) = vector!("ed25519");
    let policy = policy(&format!("alice@example.com {key}"));
    let padded = |length: usize| format!("{good}{}", "\n".repeat(length - good.len()));
    assert_eq!(check(&policy, &padded(LONGEST), TEXT), Ok(()));
    let error = check(&policy, &padded(LONGEST + 1), TEXT).unwrap_err();
    assert!(error.contains("is longer than any OpenSSH signature"), "{error}");
}

#[test]
fn a_list_is_kept_as_it_is_written() {
    let (key, good) = vector!("ed25519");
    let line = format!("alice@example.com namespaces=\"git, tidegate.dev/*\" {key}");
    let signers = AllowedSigners::try_from(line.clone()).unwrap();
    assert_eq!(String::from(signers), line);
    assert_eq!(check(&policy(&line), good, TEXT), Ok(()), "white space between quotes is text");
    // From this very second, and not from the next one.
    for (options, from_now) in [
        ("valid-after=\"202606011200Z\"", true),
        ("valid-after=\"20260601120000Z\"", true),
        ("valid-after=\"20260601120001Z\"", false),
        ("namespaces=\"git,tidegate.dev/*\",valid-after=\"20260601120001Z\"", false),
        ("valid-before=\"20260601120001Z\",namespaces=\"git,tidegate.dev/*\"", true),
    ] {
        let policy = policy(&format!("alice@example.com {options} {key}"));
        assert_eq!(check(&policy, good, TEXT).is_ok(), from_now, "{options}");
    }
    let longest = format!("* {key}#{}", "x".repeat((1 << 20) - key.len() - "* #".len()));
    assert!(AllowedSigners::try_from(longest.clone()).is_ok(), "{}", longest.len());
    assert_eq!(load_error(&format!("{longest}x")), "is longer than 1048576 bytes");
    let revoked = RevokedKey::try_from(key.to_owned()).unwrap();
    assert_eq!(String::from(revoked), key);
    let key = PublicKey::from_openssh(key).unwrap();
    let sha512 = key.fingerprint(HashAlg::Sha512).to_string();
    assert!(RevokedKey::try_from(sha512).is_err(), "it would match nothing");
}

#[test]
fn rsa_keys_are_neither_short_nor_long() {
    let of = |bits: usize| {
        let mut modulus = vec![0; bits.div_ceil(8)];
        modulus[0] = 1 << ((bits - 1) % 8);
        let mpint = Mpint::from_positive_bytes;
        let key = RsaPublicKey::new(mpint(&[1, 0, 1]), mpint(&modulus)).unwrap();
        key::check(&KeyData::Rsa(key))
    };
    for (bits, wrong) in [(3_071, "is too short"), (8_193, "is too long"), (9_000, "is too long")] {
        let error = of(bits).unwrap_err();
        assert!(error.contains(&format!("of {bits} bits {wrong}")), "{error}");
    }
    assert_eq!((of(3_072), of(8_192)), (Ok(()), Ok(())));
}
