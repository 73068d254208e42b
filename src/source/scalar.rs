//! What a plain YAML scalar is, as go-yaml v2 resolves it.

use std::borrow::Cow;

use serde_json::{Number, Value};

/// Why a scalar is nothing that JSON can hold.
pub(super) type Problem = &'static str;

/// Resolves a scalar that is neither quoted nor tagged.
pub(super) fn resolve(text: &str) -> Result<Value, Problem> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Ok(Value::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(Value::Bool(false));
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF"
        | "-.inf" | "-.Inf" | "-.INF" => return Err("not-a-number and infinity are no JSON"),
        _ => {}
    }
    let number = match text.as_bytes().first() {
        Some(b'.') => float(text),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            let plain =
                if text.contains('_') { text.replace('_', "").into() } else { Cow::Borrowed(text) };
            integer(&plain).or_else(|| float(&plain))
        }
        _ => None,
    };
    Ok(number.map_or_else(|| Value::String(text.to_owned()), Value::Number))
}

/// Resolves a scalar with one of the tags that YAML itself defines.
pub(super) fn resolve_tagged(tag: &str, text: &str) -> Result<Value, Problem> {
    let value = match tag {
        "str" | "binary" => return Ok(Value::String(text.to_owned())),
        _ => resolve(text)?,
    };
    let fits = match tag {
        "int" => value.as_i64().is_some() || value.as_u64().is_some(),
        "float" => value.is_number(),
        "bool" => value.is_boolean(),
        "null" => value.is_null(),
        _ => return Ok(Value::String(text.to_owned())),
    };
    if fits { Ok(value) } else { Err("the value does not fit its tag") }
}

/// An integer as Go's `strconv.ParseInt` reads it with base 0: `0x1f`, `0o17`, `017`, `0b1`.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, digits.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let size = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        let value = 0_i64.checked_sub_unsigned(size)?;
        return Some(value.into());
    }
    Some(size.into())
}

/// A decimal number; Go's JSON writes a whole one without a fraction, so it is an integer here.
fn float(text: &str) -> Option<Number> {
    let digits = text.trim_start_matches(['+', '-']);
    let decimal = digits.bytes().any(|byte| byte.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if !decimal || text.len().saturating_sub(digits.len()) > 1 {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "below 2^53 and without a fraction")]
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

/// The key that a scalar makes, as `sigs.k8s.io/yaml` turns keys into strings.
pub(super) fn key(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Bool(true) => Some("true".to_owned()),
        Value::Bool(false) => Some("false".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_are_what_go_yaml_makes_of_them() {
        for (text, want) in [
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("y", json!(true)),
            ("yEs", json!("yEs")),
            ("0755", json!(493)),
            ("0o17", json!(15)),
            ("08", json!(8)),
            ("0x1F", json!(31)),
            ("-0b101", json!(-5)),
            ("1_000", json!(1000)),
            ("+5", json!(5)),
            ("--5", json!("--5")),
            ("0x+5", json!("0x+5")),
            ("1e3", json!(1000)),
            (".5", json!(0.5)),
            ("-1.25", json!(-1.25)),
            ("-", json!("-")),
            (".", json!(".")),
            ("1.2.3", json!("1.2.3")),
            ("100m", json!("100m")),
            ("2024-01-01", json!("2024-01-01")),
            ("12:30:45", json!("12:30:45")),
            ("9223372036854775808", json!(9_223_372_036_854_775_808_u64)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("null", json!(null)),
            ("~", json!(null)),
            ("nan", json!("nan")),
            ("inf", json!("inf")),
        ] {
            assert_eq!(resolve(text), Ok(want), "{text}");
        }
        assert!(resolve(".inf").is_err());
        assert_eq!(resolve("99999999999999999999"), Ok(json!(1e20)));
    }

    #[test]
    fn a_tag_is_obeyed_or_refused() {
        assert_eq!(resolve_tagged("str", "1"), Ok(json!("1")));
        assert_eq!(resolve_tagged("int", "1"), Ok(json!(1)));
        assert!(resolve_tagged("int", "x").is_err());
    }
}
