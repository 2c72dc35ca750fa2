//! Reading much of a shard: in the order in which its documents lie there, by a scroll, which every version has.
//!
//! Documents lie in compressed blocks of some dozens. A server that gives documents which lie one behind the other opens each
//! block once; asked for numbers, it opens one for each document, for after merges neighbours in number are no neighbours in
//! their place: reading an index by windows of numbers took five times as much of its processor (WordNet, 7.10.2).
//!
//! A scroll sees the shard as it was when it began, page after page, and nothing is lost between two: the pages together have as
//! many documents as the first one said. A page whose answer was lost is never asked for again, for it would be the next one.

use segue_contract::StepError;
use serde_json::json;

use super::{IndexCollection, SCAN_BYTES_MAX, replies};
use crate::engines::documents::{Found, Want, Window};
use crate::search::cluster::Ask;
use crate::search::names::encoded;

/// How long the server keeps what a scroll sees, from one page to the next: longer than writing a page elsewhere takes.
const KEPT: &str = "10m";

impl IndexCollection {
    /// See [`crate::engines::documents::Collection::sweep`].
    pub(super) fn scroll(
        &self,
        window: Window,
        want: Want,
        piece: u64,
        each: &mut dyn FnMut(Vec<Found>) -> Result<(), StepError>,
    ) -> Result<bool, StepError> {
        let Window { slice, from, to } = window;
        let body = json!({
            "size": piece.clamp(1, self.scan_max),
            "query": {"range": {"_seq_no": {"gte": from, "lt": to}}},
            "_source": want == Want::Bodies,
            "version": true,
            "seq_no_primary_term": true,
            "sort": ["_doc"],
        });
        let path = format!(
            "/{}/_search?scroll={KEPT}&preference=_shards%3A{slice}&allow_partial_search_results=false",
            encoded(&self.name)
        );
        // A page that is larger than others were: window by window its size is chosen anew. The server forgets the scroll.
        let Some(page) = self.cluster.bounded(&Ask::look(path, &body), Some(SCAN_BYTES_MAX))? else {
            return Ok(false);
        };
        let mut scroll = replies::scroll_id(&page).map_err(|why| self.failed(&why))?;
        let read = self.pages(page, &mut scroll, want, each);
        // Best effort: what is not ended now the server ends by itself.
        let end = Ask::change("DELETE", "/_search/scroll", Some(&json!({"scroll_id": [scroll]})));
        let _ = self.cluster.send(&end);
        read.map(|()| true)
    }

    /// Hands on the first page and those after it.
    fn pages(
        &self,
        mut page: Vec<u8>,
        scroll: &mut String,
        want: Want,
        each: &mut dyn FnMut(Vec<Found>) -> Result<(), StepError>,
    ) -> Result<(), StepError> {
        let mut given = 0;
        loop {
            let (found, total) = replies::hits(&page, want).map_err(|why| self.failed(&why))?;
            let is_over = found.is_empty() || given + found.len() as u64 >= total;
            given += found.len() as u64;
            if !found.is_empty() {
                each(found)?;
            }
            if is_over {
                return match given == total {
                    true => Ok(()),
                    false => Err(self.failed(&format!("a scroll gave {given} documents of {total}"))),
                };
            }
            // As a change: nobody asks for it a second time.
            let next = json!({"scroll": KEPT, "scroll_id": *scroll});
            let next = Ask::change("POST", "/_search/scroll", Some(&next));
            let reply = self.cluster.bounded(&next, None)?;
            page = reply.ok_or_else(|| self.failed("a page without an answer"))?;
            *scroll = replies::scroll_id(&page).map_err(|why| self.failed(&why))?;
        }
    }
}
