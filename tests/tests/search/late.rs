//! A call of a run that died reaches the server after another run has undone what that one did.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use segue_tests::servers::{Deed, Faulty};
use segue_tests::{Random, wait_until};

use crate::network::Hold;
use crate::scene::{Scene, Terms, told};
use crate::servers::{Way, shared};

#[test]
fn a_call_to_close_that_arrives_after_the_opening_closes_nothing_for_good() {
    for (name, way) in [("late-close", Way::ToOpenSearch), ("late-back", Way::ToElasticsearch)] {
        arrives_late(name, way);
    }
}

fn arrives_late(name: &str, way: Way) {
    let servers = shared();
    let pair = servers.pair(way);
    let (hold, closes) = (Hold::default(), AtomicUsize::new(0));
    let (here, opened, late) = (hold.clone(), AtomicBool::new(false), Arc::new(AtomicBool::new(false)));
    let came = Arc::clone(&late);
    let (client, index) = (pair.source.client(), format!("{name}-1"));
    let settings = format!("/{index}/_settings");
    let front = Faulty::new(pair.source.url(), move |asked| {
        if asked.path.contains("/_block/write") && closes.fetch_add(1, Ordering::SeqCst) == 0 {
            here.wait();
        } else if asked.method != "GET"
            && asked.path.contains("_doc/before")
            && asked.path.contains("if_seq_no")
        {
            // The settler has opened, and says so now.
            opened.store(true, Ordering::SeqCst);
        } else if opened.swap(false, Ordering::SeqCst) && !came.swap(true, Ordering::SeqCst) {
            here.release();
            wait_until("the late call has closed the index", || {
                client.get(&settings)[&index]["settings"]["index"]["blocks"]["write"] == "true"
            });
        }
        Deed::Pass
    });
    let terms = Terms { source_url: Some(front.url()), ..Terms::default() };
    let scene = Scene::new(pair, name, 300, 2, &terms);
    let mut random = Random::seeded(name);
    let writers = scene.writers("late", 0, random.number());
    let mut apply = scene.start();
    hold.until_there(&mut apply);
    apply.kill();

    scene.apply().expect_code(0);
    assert!(late.load(Ordering::SeqCst), "the late call never came");
    writers.until_more(20);
    scene.serves("target");
    // The source was opened for the reverse sync, whatever came late.
    scene.wants("source");
    scene.apply().expect_code(0);
    writers.until_more(20);
    let log = writers.stop();
    scene.serves("source");
    told(name, &log, &scene.judged("source", &[&log]));
}
