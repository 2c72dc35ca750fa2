//! Markers: one an index, conditional, all or none.

use std::sync::Barrier;

use segue_contract::{Address, Claim, Marker, MarkerError, Side};
use serde_json::json;

use crate::world::{Io, Server, elasticsearch, endpoint, opensearch};

fn claim(state: &str, epoch: u64) -> Claim {
    let marker = Marker {
        owner: Address::new("cutover.books"),
        epoch,
        live: Side::Source,
        raised: false,
        state_id: state.to_owned(),
        state_dir: "/srv/.segue".to_owned(),
        machine_id: "m".to_owned(),
        host: "h".to_owned(),
        user: "u".to_owned(),
    };
    Claim { marker, adopt_from: None }
}

fn servers() -> [Server; 2] {
    [opensearch(), elasticsearch()]
}

#[test]
fn a_marker_is_claimed_raised_and_taken_away_by_its_state_alone() {
    for server in servers() {
        let index = server.name("marked");
        let block = server.block(Side::Source, &[&index.name]);
        let (endpoint, io) = (endpoint(&block), Io::default());
        assert_eq!(endpoint.marker(&block, &io).expect("reads"), None);
        let mut mine = claim("a", 1);
        endpoint.write_marker(&block, &mine, &io).expect("claims");
        endpoint.write_marker(&block, &mine, &io).expect("claims again");
        assert_eq!(endpoint.marker(&block, &io).expect("reads"), Some(mine.marker.clone()));
        mine.marker.raised = true;
        mine.marker.epoch = 2;
        endpoint.write_marker(&block, &mine, &io).expect("raises");
        let refused = |claim: &Claim| match endpoint.write_marker(&block, claim, &io) {
            Err(MarkerError::Refused(there)) => there.state_id,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(&claim("a", 1)), "a", "a lower epoch of its own");
        assert_eq!(refused(&claim("b", 9)), "a");
        assert!(matches!(endpoint.remove_marker(&block, "b", &io), Err(MarkerError::Refused(_))));
        let adopted = Claim { adopt_from: Some("a".to_owned()), ..claim("b", 3) };
        endpoint.write_marker(&block, &adopted, &io).expect("adopts");
        endpoint.remove_marker(&block, "b", &io).expect("removes");
        endpoint.remove_marker(&block, "b", &io).expect("absent is fine");
        assert_eq!(endpoint.marker(&block, &io).expect("reads"), None);
    }
}

#[test]
fn a_refusal_releases_what_the_claim_took_first() {
    for server in servers() {
        let (a, b) = (server.name("first"), server.name("second"));
        let (both, second) =
            (server.block(Side::Source, &[&a.name, &b.name]), server.block(Side::Source, &[&b.name]));
        let (endpoint, io) = (endpoint(&both), Io::default());
        endpoint.write_marker(&second, &claim("other", 1), &io).expect("claims");
        assert!(matches!(endpoint.write_marker(&both, &claim("mine", 5), &io), Err(MarkerError::Refused(_))));
        let first = server.block(Side::Source, &[&a.name]);
        assert_eq!(endpoint.marker(&first, &io).expect("reads"), None);
        // One that was this state's before stays.
        endpoint.write_marker(&first, &claim("mine", 1), &io).expect("claims");
        assert!(endpoint.write_marker(&both, &claim("mine", 5), &io).is_err());
        assert!(endpoint.marker(&first, &io).expect("reads").is_some_and(|m| m.state_id == "mine"));
        endpoint.remove_marker(&second, "other", &io).expect("removes");
        endpoint.write_marker(&both, &claim("mine", 6), &io).expect("claims both");
        endpoint.remove_marker(&both, "mine", &io).expect("removes both");
    }
}

#[test]
fn of_many_claimants_one_gets_all_and_the_others_nothing() {
    for server in servers() {
        let names: Vec<_> = (0..3).map(|_| server.name("raced")).collect();
        let units: Vec<&str> = names.iter().map(|n| n.name.as_str()).collect();
        let block = server.block(Side::Source, &units);
        let (endpoint, start) = (endpoint(&block), Barrier::new(8));
        let won: Vec<String> = std::thread::scope(|scope| {
            let claimants: Vec<_> = (0..8)
                .map(|n| {
                    let (endpoint, block, start) = (&endpoint, &block, &start);
                    scope.spawn(move || {
                        let state = format!("s{n}");
                        start.wait();
                        endpoint
                            .write_marker(block, &claim(&state, 1), &Io::default())
                            .is_ok()
                            .then_some(state)
                    })
                })
                .collect();
            claimants.into_iter().filter_map(|c| c.join().expect("ends")).collect()
        });
        assert_eq!(won.len(), 1, "{won:?}");
        for unit in &units {
            let one = server.block(Side::Source, &[unit]);
            let marker = endpoint.marker(&one, &Io::default()).expect("reads").expect("there");
            assert_eq!(marker.state_id, won[0]);
        }
        endpoint.remove_marker(&block, &won[0], &Io::default()).expect("removes");
    }
}

#[test]
fn what_lies_in_the_index_of_notes_is_hidden_and_read_by_name() {
    let server = opensearch();
    let index = server.name("noted");
    let block = server.block(Side::Target, &[&index.name]);
    let endpoint = endpoint(&block);
    endpoint.write_marker(&block, &claim("a", 1), &Io::default()).expect("claims");
    let (_, listed) = server.ask("GET", "/_cat/indices?format=json&h=index", None);
    assert!(!listed.to_string().contains(".segue-markers"), "{listed}");
    let settings = server.must("GET", "/.segue-markers/_settings?flat_settings=true", None);
    let settings = &settings[".segue-markers"]["settings"];
    assert_eq!(settings["index.auto_expand_replicas"], json!("0-1"));
    let place = endpoint.marker_by_hand(&block);
    let path = place.split(" at ").next().expect("a place").replace(':', "%3A");
    assert_eq!(server.must("GET", &format!("/{path}"), None)["_source"]["note"]["state_id"], json!("a"));
    endpoint.remove_marker(&block, "a", &Io::default()).expect("removes");
}
