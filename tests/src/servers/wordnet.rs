//! WordNet 3.0 as documents: real words, real sizes, 117,659 of them, from Debian's `wordnet-base`. The format is that of
//! wndb(5WN): <https://wordnet.princeton.edu/documentation/wndb5wn>.

use std::path::Path;

use segue_contract::paths;
use serde_json::{Value, json};

use super::client::Client;

/// Where Debian puts the database.
const PLACE: &str = "/usr/share/wordnet";
/// Documents in one bulk request: about 1 MB.
const BATCH: usize = 2000;
/// How many documents there are in all.
pub const COUNT: usize = 117_659;

/// All sets of synonyms: an id (`n00001740`: the part of speech and the offset in its file) and what is said of it.
///
/// # Panics
/// The database is not installed, or is of another form.
#[expect(clippy::panic, reason = "a test cannot go on without its data")]
pub fn synsets() -> impl Iterator<Item = (String, Value)> {
    ["noun", "verb", "adj", "adv"].into_iter().flat_map(|part| {
        let path = Path::new(PLACE).join(format!("data.{part}"));
        let bytes =
            paths::read(&path).unwrap_or_else(|e| panic!("{e}: install wordnet-base, as tests/run does"));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // The licence comes first, in lines that begin with blanks.
        let lines: Vec<String> = text.lines().filter(|l| !l.starts_with(' ')).map(str::to_owned).collect();
        lines
            .into_iter()
            .map(|line| synset(&line).unwrap_or_else(|| panic!("a line of WordNet that is none: {line}")))
    })
}

/// `offset file type count word sense … pointers symbol offset part ends … | gloss`.
fn synset(line: &str) -> Option<(String, Value)> {
    let (data, gloss) = line.split_once('|')?;
    let mut words = data.split(' ');
    let offset = words.next()?;
    let file: u32 = words.next()?.parse().ok()?;
    let part = words.next()?;
    let lemmas = usize::from_str_radix(words.next()?, 16).ok()?;
    let mut names = Vec::with_capacity(lemmas);
    for _ in 0..lemmas {
        names.push(words.next()?.replace('_', " "));
        words.next()?;
    }
    let pointers: usize = words.next()?.parse().ok()?;
    let mut leads = Vec::with_capacity(pointers);
    for _ in 0..pointers {
        let (symbol, to, of, _ends) = (words.next()?, words.next()?, words.next()?, words.next()?);
        leads.push(json!({ "symbol": symbol, "synset": format!("{}{to}", file_of(of)) }));
    }
    let id = format!("{}{offset}", file_of(part));
    let source =
        json!({ "lemma": names, "gloss": gloss.trim(), "part": part, "lexfile": file, "pointer": leads });
    Some((id, source))
}

/// Satellites of adjectives lie in the adjectives' file.
fn file_of(part: &str) -> &str {
    if part == "s" { "a" } else { part }
}

/// The properties of a mapping that suits them.
pub fn properties() -> Value {
    json!({
        "lemma": { "type": "text", "fields": { "raw": { "type": "keyword" } } },
        "gloss": { "type": "text" },
        "part": { "type": "keyword" },
        "lexfile": { "type": "integer" },
        "pointer": { "properties": { "symbol": { "type": "keyword" }, "synset": { "type": "keyword" } } },
    })
}

/// Makes an index with so many shards and loads the first `count` synsets into it. Returns how many those were.
#[track_caller]
pub fn load(client: &Client, index: &str, shards: usize, count: usize) -> usize {
    client.make_index(index, shards, &properties());
    let mut loaded = 0;
    let mut batch = Vec::with_capacity(BATCH);
    for synset in synsets().take(count) {
        batch.push(synset);
        if batch.len() == BATCH {
            loaded += batch.len();
            client.bulk(index, batch.iter().map(|(id, source)| (id.as_str(), source)));
            batch.clear();
        }
    }
    loaded += batch.len();
    client.bulk(index, batch.iter().map(|(id, source)| (id.as_str(), source)));
    client.refresh(index);
    loaded
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn a_line_becomes_a_document() {
        let line = "01156112 33 v 02 tackle 0 take_on 3 003 @ 02371718 v 0000 + 00785690 n 0101 ~ 02532458 v 0000 01 + 08 00 | accept as a challenge; \"I'll tackle this\"  ";
        let (id, source) = super::synset(line).expect("a synset");
        assert_eq!(id, "v01156112");
        assert_eq!(
            source,
            json!({
                "lemma": ["tackle", "take on"], "gloss": "accept as a challenge; \"I'll tackle this\"", "part": "v", "lexfile": 33,
                "pointer": [
                    { "symbol": "@", "synset": "v02371718" }, { "symbol": "+", "synset": "n00785690" },
                    { "symbol": "~", "synset": "v02532458" },
                ],
            })
        );
    }
}
