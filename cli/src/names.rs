//! Names that people type: whole addresses, or the part after the kind; a miss names the nearest one.

use segue_contract::Address;
use segue_language::nearest;

use crate::failure::Failure;

/// How many names an error lists.
const NAMES_SHOWN: usize = 10;

/// Finds what was typed among the addresses there are. `kind` may be left out: `site` for `cutover.site`.
///
/// # Errors
/// Nothing has that name; the nearest one, or those there are, are named.
pub(crate) fn find<'a>(
    kind: &str,
    typed: &str,
    known: impl IntoIterator<Item = &'a Address>,
) -> Result<Address, Failure> {
    let known: Vec<&Address> = known.into_iter().collect();
    let whole = format!("{kind}.{typed}");
    let found = known.iter().find(|a| a.as_str() == typed || a.as_str() == whole);
    if let Some(found) = found {
        return Ok((*found).clone());
    }
    let names: Vec<&str> = known.iter().map(|a| a.as_str()).collect();
    let near = nearest(typed, &names).or_else(|| nearest(&whole, &names));
    let failure = Failure::new(format!("there is no {kind} named {typed:?}"));
    Err(match (near, names.as_slice()) {
        (Some(near), _) => failure.remedy(format!("did you mean `{near}`?")),
        (None, []) => failure.remedy(format!("no {kind} is recorded yet: `segue apply` begins one")),
        (None, names) => {
            let shown: Vec<&str> = names.iter().copied().take(NAMES_SHOWN).collect();
            let more = if names.len() > NAMES_SHOWN { ", ..." } else { "" };
            failure.remedy(format!("there are: {}{more}", shown.join(", ")))
        }
    })
}

/// An address as a shell takes it: `cutover.site["eu"]` needs quotes.
pub(crate) fn for_shell(address: &Address) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match address.as_str().chars().all(plain) {
        true => address.to_string(),
        false => format!("'{}'", address.as_str().replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use segue_contract::Address;

    use super::{find, for_shell};

    #[test]
    fn an_address_is_quoted_where_a_shell_would_take_it_apart() {
        assert_eq!(for_shell(&Address::new("cutover.site")), "cutover.site");
        assert_eq!(for_shell(&Address::new("cutover.site[\"e'u\"]")), "'cutover.site[\"e'\\''u\"]'");
    }

    #[test]
    fn a_name_is_found_with_and_without_its_kind_and_a_miss_names_the_nearest() {
        let known = [Address::new("cutover.site"), Address::new("cutover.shop")];
        assert_eq!(find("cutover", "site", &known).unwrap(), known[0]);
        assert_eq!(find("cutover", "cutover.shop", &known).unwrap(), known[1]);
        let near = find("cutover", "stie", &known).unwrap_err();
        assert_eq!(near.reasons[0].remedy.as_deref(), Some("did you mean `cutover.site`?"));
        let none = find("cutover", "catalogue", &known).unwrap_err();
        assert_eq!(none.reasons[0].remedy.as_deref(), Some("there are: cutover.site, cutover.shop"));
    }
}
