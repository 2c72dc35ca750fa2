//! Whatever waits says so: for whom, since when, until when; in the output and in `status`.

use segue_tests::{Running, Scratch};

#[test]
fn a_command_that_takes_long_is_told_in_the_output_and_in_status() {
    let scratch = Scratch::new();
    scratch.executable("slow", "[ \"$1\" = try-write ] && exec ./app try-write\nwhile [ ! -e go ]; do sleep 0.1; done\nexec ./app \"$@\"");
    scratch.edit_spec("[\"./app\", \"pause\"]", "[\"./slow\", \"pause\"]");
    scratch.edit_spec("  quiesce \"command\" {", "  quiesce \"command\" {\n    timeout = \"5m\"");
    scratch.edit_spec("timeout    = \"30s\"", "timeout    = \"5m\"");
    let mut apply = Running::new(&scratch, &["apply", "--auto-approve"]);
    apply.until_it_says("waits for ./slow pause (stop) to end, since ");
    let status = scratch.segue(&["status"]).expect_code(0);
    status.says("waits for ./slow pause (stop) to end, since ").says(", 300 s at most");
    scratch.write("go", "");
    apply.wait().expect_code(0);
    assert_eq!(scratch.live(), "new");
    let status = scratch.segue(&["status"]).expect_code(0);
    assert!(!status.all().contains("waits for ./slow"), "{}", status.all());
}

#[test]
fn a_server_that_does_not_answer_is_told() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let spec = format!(
        r#"
source "opensearch" "old" {{
  url     = "{url}"
  indices = ["a"]
}}
target "opensearch" "new" {{
  url     = "{url}"
  indices = ["b"]
}}
migration "a" {{
  source = source.opensearch.old
  target = target.opensearch.new
}}
"#
    );
    let scratch = Scratch::of_spec(&spec, &[]);
    let mut plan = Running::new(&scratch, &["plan"]);
    plan.until_it_says(&format!("waits for an answer to GET {url}/"));
    let alive = plan.kill();
    assert!(alive, "it still waited");
}
