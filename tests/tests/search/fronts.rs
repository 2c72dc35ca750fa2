//! Clusters that are reached as hosted and hardened ones are: by TLS with an authority of one's own and a certificate of the
//! client's, by requests signed for AWS, by passwords and API keys. What is wrong with one of them is told before anything
//! moves, and no secret is in anything that Segue says or keeps.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use segue_contract::paths;
use segue_tests::servers::{Certificates, HaProxy, Keys, Options, SearchServer, SignedFront, Version};
use segue_tests::{Ran, Random, rounds, say};
use serde_json::{Value, json};

use crate::scene::{APPLY, PASSWORD, Scene, Terms, says, told};
use crate::servers::{Pair, Way, alone, guarded, park, shared};

/// The environment variable with the secret that requests are signed with.
const AWS: &str = "SEGUE_TEST_AWS_SECRET";
const RIGHT: &str = "wJalrXUtnFEMI/K7MDENG/right-one";
const WRONG: &str = "wJalrXUtnFEMI/K7MDENG/wrong-one";
/// The user of servers with passwords, and the password.
const USER: &str = "elastic";
const OPEN: &str = "right-for-the-server";
/// The file with an API key, in the spec's directory.
const API_KEY: &str = "api-key";

/// What stands in front of both clusters.
struct Fronts {
    certificates: Certificates,
    tls: HaProxy,
    signed: SignedFront,
}

impl Fronts {
    /// TLS that wants the client's certificate at the source, signatures at the target.
    fn new(pair: Pair) -> Self {
        let certificates = Certificates::new(&[]);
        let keys = Keys {
            access: "AKIDSEGUETESTS".to_owned(),
            secret: RIGHT.to_owned(),
            token: None,
            region: "eu-central-1".to_owned(),
            service: "es".to_owned(),
        };
        Self {
            tls: HaProxy::tls(pair.source.url(), &certificates, true),
            signed: SignedFront::new(keys, pair.target.url()),
            certificates,
        }
    }

    /// The attribute that names the authority.
    fn authority(&self, file: &str) -> String {
        format!("ca_file = \"{}\"", self.certificates.path(file).display())
    }

    /// The attributes with the client's certificate.
    fn certificate(&self) -> String {
        let at = |file: &str| self.certificates.path(file).display().to_string();
        format!("client_cert = \"{}\"\n  client_key = \"{}\"", at("client.pem"), at("client.key"))
    }

    /// An index that is moved from one to the other, with everything as it should be.
    fn scene(&self, pair: Pair, name: &str, words: usize) -> Scene {
        let terms = Terms {
            source_url: Some(self.tls.url()),
            target_url: Some(self.signed.url()),
            source: format!("{}\n  {}", self.authority("ca.pem"), self.certificate()),
            target: format!(
                "aws_access_key_id = \"AKIDSEGUETESTS\"\n  aws_secret_access_key = env(\"{AWS}\")\n  aws_region = \"eu-central-1\""
            ),
            routes_alike: true,
            ..Terms::default()
        };
        let mut scene = Scene::new(pair, name, words, 3, &terms);
        scene.scratch.set(AWS, RIGHT);
        scene
    }

    /// A line of the client's key.
    fn key(&self) -> String {
        let pem = String::from_utf8(self.certificates.read("client.key")).expect("PEM");
        pem.lines().nth(1).expect("a key").to_owned()
    }
}

/// The files below a directory.
fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("readable").flatten() {
        match entry.file_type().expect("a type") {
            kind if kind.is_dir() => files(&entry.path(), found),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
}

/// The files of a scene with these words in them: the state directory, plan files, reports. Its API key is the test's.
fn with(scene: &Scene, words: &str) -> Vec<PathBuf> {
    let mut all = Vec::new();
    files(scene.scratch.path(), &mut all);
    let holds = |path: &PathBuf| {
        let bytes = paths::read(path).expect("readable");
        bytes.windows(words.len()).any(|window| window == words.as_bytes())
    };
    all.into_iter().filter(|path| !path.ends_with(API_KEY)).filter(holds).collect()
}

/// Whoever reads what Segue said and what it keeps learns no secret, neither as it is nor as a request carries it.
#[track_caller]
fn tells_no_secret(scene: &Scene, secrets: &[String], ran: &[Ran]) {
    for secret in secrets {
        let carried = STANDARD.encode(format!("{USER}:{secret}"));
        for words in [secret, &carried] {
            assert_eq!(with(scene, words), Vec::<PathBuf>::new(), "{words:?} is kept");
            for ran in ran {
                assert!(!ran.all().contains(words), "{words:?} is said: {}", ran.all());
            }
        }
    }
    // The search finds what is there: the spec, and the state.
    let kept = with(scene, &scene.index());
    assert!(kept.iter().any(|path| path.starts_with(scene.scratch.at(".segue"))), "{kept:?}");
}

/// What people print, and keep: the state, its history, the report as a page and as data.
fn read(scene: &Scene) -> Vec<Ran> {
    scene.segue(&["report", "--out", "move.html"]).expect_code(0);
    let asked: [&[&str]; 5] =
        [&["status"], &["status", "--json"], &["history"], &["report", "--json"], &["state", "pull"]];
    asked.into_iter().map(|args| scene.segue(args)).collect()
}

/// Nothing was made on either side.
#[track_caller]
fn nothing_was_made(scene: &Scene) {
    assert!(!scene.target().has(&scene.index()), "an index was made");
    for client in [scene.source(), scene.target()] {
        for kind in ["marker", "before", "made", "tuned"] {
            let note = format!("/.segue-markers/_doc/{kind}%3A{}", scene.index());
            let found = client.ask("GET", &note, None).expect("an answer");
            assert_eq!(found.status, 404, "{kind} at {}", client.base());
        }
    }
}

/// Plan and apply end with an error that says all of this, and nothing is made.
#[track_caller]
fn told_before_anything_moves(scene: &Scene, wanted: &[&str], ran: &mut Vec<Ran>) {
    for args in [["plan", "--out=wrong.plan"], APPLY] {
        let refused = scene.segue(&args).expect_code(1);
        wanted.iter().for_each(|text| says(&refused, text));
        ran.push(refused);
    }
    nothing_was_made(scene);
}

#[test]
fn a_source_behind_tls_and_a_target_behind_signatures_are_switched_with_every_write_and_back() {
    let (name, way) = ("fronts", Way::ToOpenSearch);
    let servers = shared();
    let mut random = Random::seeded(name);
    let pair = servers.pair(way);
    let fronts = Fronts::new(pair);
    let scene = fronts.scene(pair, name, 300);
    let writers = scene.writers("fronts", 0, random.number());
    writers.until_more(50);
    let mut ran = vec![
        scene.segue(&["plan", "--out", "move.plan"]).expect_code(0),
        scene.segue(&["apply", "move.plan"]).expect_code(0),
    ];
    scene.serves("target");
    writers.until_more(50);
    ran.push(scene.segue(&["plan", "--detailed-exitcode"]).expect_code(0));
    scene.wants("source");
    ran.push(scene.apply().expect_code(0));
    scene.serves("source");
    writers.until_more(50);
    let log = writers.stop();
    told(name, &log, &scene.judged("source", &[&log]));
    assert!(log.acknowledged_at(scene.target().base()) >= 50, "the target took next to nothing");
    ran.push(scene.segue(&["verify"]).expect_code(0));
    ran.extend(read(&scene));
    let secrets = [RIGHT.to_owned(), fronts.key(), pair.bind.secret()];
    tells_no_secret(&scene, &secrets, &ran);
    assert_eq!(fronts.signed.refused(), Vec::<String>::new());
    say(&format!("{name}: {} requests were signed, each as it should be", fronts.signed.passed()));
}

#[test]
fn a_wrong_authority_a_missing_certificate_and_a_wrong_signature_are_told_before_anything_moves() {
    let (name, way) = ("fronts-wrong", Way::ToOpenSearch);
    let servers = shared();
    let pair = servers.pair(way);
    let fronts = Fronts::new(pair);
    let mut scene = fronts.scene(pair, name, 100);
    let mut ran = Vec::new();

    let (right, wrong) = (fronts.authority("ca.pem"), fronts.authority("other-ca.pem"));
    scene.scratch.edit_spec(&right, &wrong);
    let wanted = ["source.elasticsearch.old", "no TLS connection", "certificate", "check ca_file"];
    told_before_anything_moves(&scene, &wanted, &mut ran);
    scene.scratch.edit_spec(&wrong, &right);

    let certificate = fronts.certificate();
    scene.scratch.edit_spec(&certificate, "redirects = 0 # no certificate");
    told_before_anything_moves(&scene, &["source.elasticsearch.old", "client_cert"], &mut ran);
    scene.scratch.edit_spec("redirects = 0 # no certificate", &certificate);

    scene.scratch.set(AWS, WRONG);
    let passed = fronts.signed.passed();
    let wanted = ["target.opensearch.new", "403", "signature we calculated", "aws_secret_access_key"];
    told_before_anything_moves(&scene, &wanted, &mut ran);
    assert!(!fronts.signed.refused().is_empty());
    assert_eq!(fronts.signed.passed(), passed, "something was passed on");
    scene.scratch.set(AWS, RIGHT);

    ran.push(scene.segue(&["plan", "--out", "right.plan"]).expect_code(0));
    ran.push(scene.apply().expect_code(0));
    scene.serves("target");
    scene.judged("target", &[]);
    ran.extend(read(&scene));
    let secrets = [RIGHT.to_owned(), WRONG.to_owned(), fronts.key(), pair.bind.secret()];
    tells_no_secret(&scene, &secrets, &ran);
}

#[test]
fn a_target_that_wants_a_bearer_token_is_moved_to_and_back() {
    let (name, way) = ("bearer", Way::ToElasticsearch);
    let servers = shared();
    let mut random = Random::seeded(name);
    let pair = servers.pair(way);
    let rule = format!("deny deny_status 401 unless {{ req.hdr(authorization) -m str \"Bearer {OPEN}\" }}");
    let front = guarded(pair.target.url(), "", &rule);
    let terms = Terms {
        target_url: Some(front.url()),
        target: format!("bearer_token = env(\"{PASSWORD}\")"),
        routes_alike: true,
        ..Terms::default()
    };
    let mut scene = Scene::new(pair, name, 200, 2, &terms);
    scene.scratch.set(PASSWORD, WRONG);
    let mut ran = Vec::new();
    let wanted = ["target.elasticsearch.new", "401", "correct the block's login"];
    told_before_anything_moves(&scene, &wanted, &mut ran);
    scene.scratch.set(PASSWORD, OPEN);
    let writers = scene.writers("bearer", 0, random.number());
    for live in ["target", "source"] {
        scene.wants(live);
        ran.push(scene.apply().expect_code(0));
        scene.serves(live);
        writers.until_more(50);
    }
    let log = writers.stop();
    told(name, &log, &scene.judged("source", &[&log]));
    ran.extend(read(&scene));
    tells_no_secret(&scene, &[WRONG.to_owned(), OPEN.to_owned(), pair.bind.secret()], &ran);
}

/// Has a server with security make a key for everything. Returns it as Segue wants it.
fn api_key(server: &SearchServer) -> String {
    let made = server.client().post("/_security/api_key", &json!({ "name": "segue" }));
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    STANDARD.encode(format!("{}:{}", text(&made["id"]), text(&made["api_key"])))
}

#[test]
fn a_server_with_security_is_moved_by_password_and_back_by_api_key() {
    if rounds(0, 1) == 0 {
        say("NOT RUN: a server with security; `tests/run --long` sets SEGUE_TESTS_LONG");
        return;
    }
    let name = "secured";
    let servers = alone();
    let mut random = Random::seeded(name);
    let options = Options::default().at("127.0.0.10", &servers.port).password(OPEN);
    let options = options.setting("xpack.security.authc.api_key.enabled", "true");
    let source = SearchServer::with(Version::Elasticsearch7_10Secured, options);
    park(&source);
    let pair = Pair { source: &source, target: &servers.opensearch, bind: &servers.bind };
    let login = format!("username = \"{USER}\"\n  password = env(\"{PASSWORD}\")");
    let terms = Terms { source: login.clone(), routes_alike: true, ..Terms::default() };
    let mut scene = Scene::new(pair, name, 500, 2, &terms);
    scene.scratch.set(PASSWORD, WRONG);
    let mut ran = Vec::new();
    let wanted = ["source.elasticsearch.old", "401", "correct the block's login"];
    told_before_anything_moves(&scene, &wanted, &mut ran);
    scene.scratch.set(PASSWORD, OPEN);
    let writers = scene.writers("secured", 0, random.number());
    writers.until_more(50);
    ran.push(scene.apply().expect_code(0));
    scene.serves("target");
    writers.until_more(50);

    // Back by a key, which is in a file.
    let key = api_key(&source);
    scene.scratch.edit_spec(&login, &format!("api_key = trimspace(file(\"{API_KEY}\"))"));
    scene.wants("source");
    scene.scratch.write(API_KEY, &format!("{}\n", STANDARD.encode("nobody:nothing")));
    let refused = scene.apply().expect_code(1);
    wanted.iter().for_each(|text| says(&refused, text));
    ran.push(refused);
    scene.serves("target");
    scene.scratch.write(API_KEY, &format!("{key}\n"));
    ran.push(scene.apply().expect_code(0));
    scene.serves("source");
    writers.until_more(50);
    let log = writers.stop();
    told(name, &log, &scene.judged("source", &[&log]));
    ran.extend(read(&scene));
    tells_no_secret(&scene, &[WRONG.to_owned(), OPEN.to_owned(), key, pair.bind.secret()], &ran);
}
