//! Kubernetes quantities.

use std::{cmp::Ordering, str::FromStr};

/// An amount as Kubernetes writes it: `100m`, `1.5`, `512Mi`, `1e3`.
///
/// **Unit:** thousandths of the base unit (cores or bytes), so that `100m` is exact. Smaller
/// fractions are rounded up, as the API server does.
///
/// **Range:** up to `i128::MAX` thousandths; what does not fit is an error.
///
/// **Source:** the Kubernetes API reference, `Quantity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quantity {
    thousandths: i128,
}

/// A text that is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// There is no number at its start.
    #[error("not a quantity: expected a number such as `100m`, `2` or `512Mi`")]
    NotANumber,
    /// The letters after the number are no suffix.
    #[error(
        "not a quantity: the suffix must be one of m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei"
    )]
    UnknownSuffix,
    /// The amount does not fit.
    #[error("the quantity is too large")]
    TooLarge,
}

impl Quantity {
    /// The amount in thousandths of the base unit.
    pub fn thousandths(self) -> i128 {
        self.thousandths
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.thousandths.cmp(&other.thousandths)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    /// Reads a quantity.
    ///
    /// # Errors
    ///
    /// See [`QuantityError`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidegate::model::Quantity;
    /// let half: Quantity = "500m".parse()?;
    /// assert_eq!(half, "0.5".parse()?);
    /// assert!("1Gi".parse::<Quantity>()? > "1G".parse()?);
    /// assert!("12 potatoes".parse::<Quantity>().is_err());
    /// # Ok::<(), tidegate::model::QuantityError>(())
    /// ```
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let end =
            unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = || whole.bytes().chain(fraction.bytes());
        if digits().next().is_none() || !digits().all(|byte| byte.is_ascii_digit()) {
            return Err(QuantityError::NotANumber);
        }
        let (multiplier, exponent) = scale(suffix)?;
        let mut value: i128 = 0;
        for digit in digits() {
            value = value
                .checked_mul(10)
                .and_then(|value| value.checked_add(i128::from(digit.wrapping_sub(b'0'))))
                .ok_or(QuantityError::TooLarge)?;
        }
        value = value.checked_mul(multiplier).ok_or(QuantityError::TooLarge)?;
        let places = i32::try_from(fraction.len()).map_err(|_too_long| QuantityError::TooLarge)?;
        let power = exponent.saturating_add(3).saturating_sub(places);
        let thousandths = shift(value, power).ok_or(QuantityError::TooLarge)?;
        Ok(Self { thousandths: if negative { thousandths.saturating_neg() } else { thousandths } })
    }
}

/// The factor and the power of ten that a suffix stands for.
fn scale(suffix: &str) -> Result<(i128, i32), QuantityError> {
    Ok(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        _ => {
            let exponent = suffix
                .strip_prefix(['e', 'E'])
                .and_then(|digits| digits.parse().ok())
                .ok_or(QuantityError::UnknownSuffix)?;
            (1, exponent)
        }
    })
}

/// `value` times ten to the `power`, rounded up.
fn shift(value: i128, power: i32) -> Option<i128> {
    let factor = |power: u32| 10_i128.checked_pow(power);
    if value == 0 {
        return Some(0);
    }
    match u32::try_from(power) {
        Ok(power) => value.checked_mul(factor(power)?),
        Err(_negative) => match factor(power.unsigned_abs()) {
            Some(divisor) => value.checked_add(divisor.checked_sub(1)?)?.checked_div(divisor),
            None => Some(1),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_amounts_are_equal() {
        for (left, right) in [
            ("1", "1000m"),
            ("0.1", "100m"),
            ("1Ki", "1024"),
            ("1e3", "1k"),
            ("1E3", "1k"),
            (".5", "500m"),
            ("1.", "1"),
            ("1n", "1m"), // rounded up to a thousandth
            ("-1", "-1000m"),
        ] {
            assert_eq!(left.parse::<Quantity>(), right.parse(), "{left} and {right}");
        }
    }

    #[test]
    fn what_is_no_quantity_says_why() {
        for (text, error) in [
            ("", QuantityError::NotANumber),
            (".", QuantityError::NotANumber),
            ("Mi", QuantityError::NotANumber),
            ("1.2.3", QuantityError::NotANumber),
            ("12 ", QuantityError::UnknownSuffix),
            ("1mi", QuantityError::UnknownSuffix),
            ("1e", QuantityError::UnknownSuffix),
            ("1e99", QuantityError::TooLarge),
        ] {
            assert_eq!(text.parse::<Quantity>(), Err(error), "{text}");
        }
    }
}
