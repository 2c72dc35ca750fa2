//! `required_version`: which versions of Segue may run a spec.

/// Whether `version` meets every constraint of `">= 0.1, < 2"`. Operators: `=`, `!=`, `>`, `>=`, `<`, `<=`,
/// `~>` (the last given part may grow).
///
/// # Errors
///
/// The part of the constraint that cannot be read.
pub(super) fn meets(constraint: &str, version: &str) -> Result<bool, String> {
    let version = parts(version).unwrap_or_default();
    let mut all = true;
    for one in constraint.split(',') {
        let one = one.trim();
        let digits = one.find(|c: char| c.is_ascii_digit()).ok_or_else(|| one.to_owned())?;
        let (operator, wanted) = one.split_at(digits);
        let wanted = parts(wanted).ok_or_else(|| one.to_owned())?;
        let order = padded(&version).cmp(&padded(&wanted));
        all &= match operator.trim() {
            "" | "=" => order.is_eq(),
            "!=" => order.is_ne(),
            ">" => order.is_gt(),
            ">=" => order.is_ge(),
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            "~>" => {
                let fixed = wanted.len().saturating_sub(1).max(1);
                order.is_ge() && padded(&version)[..fixed] == padded(&wanted)[..fixed]
            }
            _ => return Err(one.to_owned()),
        };
    }
    Ok(all)
}

fn parts(text: &str) -> Option<Vec<u64>> {
    let parts: Vec<u64> = text.trim().split('.').map(|p| p.parse().ok()).collect::<Option<_>>()?;
    (parts.len() <= 3).then_some(parts)
}

fn padded(parts: &[u64]) -> [u64; 3] {
    let mut out = [0; 3];
    out.iter_mut().zip(parts).for_each(|(o, p)| *o = *p);
    out
}

#[cfg(test)]
mod tests {
    use super::meets;

    #[test]
    fn versions_are_compared_by_number() {
        for yes in [">= 0.1", "0.1.0", "~> 0.1", "< 0.10", ">= 0.1, < 2", "!= 0.2", "~>0.1.0"] {
            assert_eq!(meets(yes, "0.1.0"), Ok(true), "{yes}");
        }
        for no in ["> 0.1", "~> 1.0", "~> 0.2", "= 0.1.1"] {
            assert_eq!(meets(no, "0.1.0"), Ok(false), "{no}");
        }
        for bad in ["", "x", "=> 1", "1.2.3.4", ">= 1,"] {
            assert!(meets(bad, "0.1.0").is_err(), "{bad}");
        }
    }
}
