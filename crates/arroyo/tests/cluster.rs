//! Deploying to a cluster, and what happens when it does not do what it should: over a stand-in, since a real one does not fail on
//! demand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use hitters_arroyo::{Change, Cluster, Done, Error, Event, Function, FunctionChange, Options, Patience, Plan, Wanted};
use hitters_tests::arroyo::{Behaviour, Fault, Stub};
use serde_json::json;
use std::time::{Duration, Instant};

const PATIENCE: Patience = Patience {
    state: Duration::from_secs(10),
    settled: Duration::from_millis(20),
    look: Duration::from_millis(1),
};

fn cluster(stub: &Stub) -> Cluster {
    Cluster::new(Options::new(stub.url())).unwrap()
}

fn function(name: &str, text: &str) -> Function {
    Function {
        name: name.into(),
        source: format!("// {text}\n#[rustfmt::udf]\nfn {name}(item: Vec<&str>) -> Vec<u8> {{ vec![] }}\n"),
    }
}

fn wanted(version: u64, sql: &str) -> Wanted {
    Wanted {
        name: "shop".into(),
        version,
        sql: sql.into(),
        text: None,
        functions: vec![function("top_k", "one"), function("combine", "one")],
        parallelism: 4,
        parallelism_given: false,
        checkpoint_interval: Some(Duration::from_secs(10)),
    }
}

fn deploy(cluster: &Cluster, wanted: Wanted) -> Result<(Plan, Done, Vec<String>), Error> {
    let plan = cluster.plan(wanted)?;
    let mut events = Vec::new();
    let done = cluster.apply(&plan, &PATIENCE, &mut |event| events.push(told(&event)))?;
    Ok((plan, done, events))
}

fn told(event: &Event) -> String {
    match event {
        Event::Built(name, _) => format!("built {name}"),
        Event::State(_, state) => state.clone(),
        other => format!("{other:?}"),
    }
}

fn deployed(stub: &Stub) -> (Cluster, Done) {
    let cluster = cluster(stub);
    let (_, done, _) = deploy(&cluster, wanted(1, "SELECT 1;\n")).unwrap();
    stub.changes();
    (cluster, done)
}

#[test]
fn functions_are_built_and_the_pipeline_is_created_and_runs() {
    let stub = Stub::start();
    let (plan, done, events) = deploy(&cluster(&stub), wanted(1, "SELECT 1;\n")).unwrap();
    assert_eq!(plan.change, Change::Create);
    assert!(
        plan.functions
            .iter()
            .all(|(_, change)| *change == FunctionChange::Build)
    );
    assert_eq!(
        (done.deployed.name(), done.deployed.state(), done.deployed.parallelism()),
        ("shop-v1", "Running", 4)
    );
    assert_eq!(stub.changes(), ["POST /udfs", "POST /udfs", "POST /pipelines"]);
    let states: Vec<&str> = events
        .iter()
        .map(String::as_str)
        .filter(|word| word.ends_with("ing"))
        .collect();
    assert!(states.ends_with(&["Scheduling", "Running"]), "{events:?}");
    let sent = stub.world(|world| world.pipelines()[0]["query"].as_str().unwrap().to_owned());
    assert!(
        sent.starts_with("SELECT 1;\n-- hitters: pipeline=shop version=1 "),
        "{sent}"
    );
}

#[test]
fn many_functions_are_built_before_the_planner_reads_the_text() {
    let stub = Stub::start();
    let long = "long ".repeat(40_000);
    let many = || Wanted {
        functions: (0..12).map(|number| function(&format!("f{number}"), &long)).collect(),
        ..wanted(1, "SELECT 1;\n")
    };
    stub.world(|world| world.planner = vec![json!({ "message": "no column x" })]);
    let error = deploy(&cluster(&stub), many()).unwrap_err();
    assert!(
        matches!(&error, Error::Sql(faults) if faults[0].message == "no column x"),
        "{error}"
    );
    assert_eq!(stub.changes(), ["POST /udfs"; 12]);
    stub.world(|world| world.planner.clear());
    let (plan, done, _) = deploy(&cluster(&stub), many()).unwrap();
    assert!(
        plan.functions
            .iter()
            .all(|(_, change)| *change == FunctionChange::Leave)
    );
    assert_eq!(done.deployed.state(), "Running");
}

#[test]
fn a_graph_that_chaining_has_cut_is_refused_before_anything_is_done() {
    let stub = Stub::start();
    stub.world(|world| world.cuts = true);
    let error = deploy(&cluster(&stub), wanted(1, "SELECT 1;\n")).unwrap_err();
    let said = error.to_string();
    for part in [
        "'minutes' gets no rows, and so there are none of it in KafkaSink<results>",
        "ARROYO__PIPELINE__CHAINING__ENABLED=false",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(matches!(error, Error::Cut(_)));
    assert!(stub.changes().is_empty());
}

#[test]
fn a_pipeline_whose_graph_is_cut_is_replaced_once_the_cluster_chains_no_more() {
    let stub = Stub::start();
    let (cluster, old) = deployed(&stub);
    // As a version of hitters left it that did not look.
    stub.world(|world| {
        world.by_hand("shop-v1", |shown| {
            let edges = shown["graph"]["edges"].as_array_mut().unwrap();
            edges.retain(|edge| edge["dest_id"] != 4);
        });
    });
    let plan = cluster.plan(wanted(1, "SELECT 1;\n")).unwrap();
    assert_eq!(plan.change, Change::Replace);
    let (_, new, _) = deploy(&cluster, wanted(1, "SELECT 1;\n")).unwrap();
    assert_ne!(new.deployed.id(), old.deployed.id());
    let (plan, ..) = deploy(&cluster, wanted(1, "SELECT 1;\n")).unwrap();
    assert!(plan.is_empty());
}

#[test]
fn the_same_again_does_nothing() {
    let stub = Stub::start();
    let (cluster, _) = deployed(&stub);
    let (plan, _, events) = deploy(&cluster, wanted(1, "SELECT 1;\n")).unwrap();
    assert!(plan.is_empty());
    assert_eq!((stub.changes(), events), (Vec::<String>::new(), Vec::new()));
}

#[test]
fn another_sql_of_the_same_version_replaces_the_pipeline_once_the_new_one_runs() {
    let stub = Stub::start();
    let (cluster, old) = deployed(&stub);
    let (plan, new, _) = deploy(&cluster, wanted(1, "SELECT 2;\n")).unwrap();
    assert_eq!(plan.change, Change::Replace);
    assert_ne!(old.deployed.id(), new.deployed.id());
    let id = old.deployed.id();
    assert_eq!(
        stub.changes(),
        [
            format!("PATCH /pipelines/{id}"),
            "POST /pipelines".into(),
            format!("DELETE /pipelines/{id}")
        ]
    );
    assert_eq!(stub.world(|world| world.pipelines().len()), 1);
}

#[test]
fn a_successor_that_fails_is_taken_away_and_the_old_pipeline_goes_on() {
    let stub = Stub::start();
    let (cluster, old) = deployed(&stub);
    stub.world(|world| world.behaviour = Behaviour::Fails("no such topic".into()));
    let error = deploy(&cluster, wanted(1, "SELECT 2;\n")).unwrap_err().to_string();
    assert!(
        error.contains("shop-v1 has failed") && error.contains("no such topic"),
        "{error}"
    );
    let there = stub.world(|world| world.pipelines());
    assert_eq!(there.len(), 1);
    assert_eq!(there[0]["id"], old.deployed.id());
    assert_eq!(stub.world(|world| world.state("shop-v1")).as_deref(), Some("Running"));
}

#[test]
fn a_new_version_stands_beside_the_one_before() {
    let stub = Stub::start();
    let (cluster, _) = deployed(&stub);
    let (plan, done, _) = deploy(&cluster, wanted(2, "SELECT 2;\n")).unwrap();
    assert_eq!(
        plan.others.iter().map(|one| one.name()).collect::<Vec<_>>(),
        ["shop-v1"]
    );
    assert_eq!(done.deployed.name(), "shop-v2");
    deploy(&cluster, wanted(3, "SELECT 3;\n")).unwrap();
    // More than a page of the stand-in holds.
    let versions: Vec<u64> = cluster
        .versions("shop")
        .unwrap()
        .iter()
        .map(|one| one.version())
        .collect();
    assert_eq!(versions, [3, 2, 1]);
    assert!(cluster.versions("sho").unwrap().is_empty());
}

#[test]
fn functions_of_another_text_are_replaced_and_the_running_pipeline_keeps_its_own() {
    let stub = Stub::start();
    let (cluster, _) = deployed(&stub);
    let mut newer = wanted(1, "SELECT 1;\n");
    newer.functions[1] = function("combine", "two");
    let (plan, ..) = deploy(&cluster, newer.clone()).unwrap();
    assert_eq!(plan.functions[0].1, FunctionChange::Replace);
    assert_eq!(plan.functions[1].1, FunctionChange::Leave);
    assert!(plan.older_functions && plan.change == Change::Leave);
    let changes = stub.changes();
    assert!(
        changes[0].starts_with("DELETE /udfs/") && changes[1..] == ["POST /udfs"],
        "{changes:?}"
    );
    assert_eq!(stub.world(|world| world.functions.len()), 2);
    // And that is all.
    deploy(&cluster, newer).unwrap();
    assert!(stub.changes().is_empty());
}

#[test]
fn a_function_that_does_not_compile_leaves_the_one_before() {
    let stub = Stub::start();
    stub.world(|world| world.compiler = Some(("two".into(), "error[E0425]: cannot find value `x`".into())));
    let (cluster, _) = deployed(&stub);
    let mut newer = wanted(1, "SELECT 1;\n");
    newer.functions[1] = function("combine", "two");
    newer.functions.push(function("new", "two"));
    let error = deploy(&cluster, newer).unwrap_err().to_string();
    assert!(
        error.contains("combine does not compile") && error.contains("E0425"),
        "{error}"
    );
    assert!(stub.changes().is_empty());
    let mut other = wanted(2, "SELECT 1;\n");
    other.functions = vec![function("new", "two")];
    let error = deploy(&cluster, other).unwrap_err().to_string();
    assert!(
        error.contains("new does not compile") && error.contains("E0425"),
        "{error}"
    );
}

#[test]
fn what_hitters_did_not_make_is_not_touched() {
    let stub = Stub::start();
    let (cluster, _) = deployed(&stub);
    stub.world(|world| {
        world.functions[0]["description"] = json!("mine");
        world.functions[0]["definition"] = json!("#[udf] fn combine() {}");
    });
    let error = deploy(&cluster, wanted(1, "SELECT 1;\n")).unwrap_err().to_string();
    assert!(error.contains("function combine that hitters did not build"), "{error}");
    let mut without = wanted(1, "SELECT 1;\n");
    without.functions.clear();
    stub.world(|world| world.by_hand("shop-v1", |one| one["query"] = json!("SELECT 'by hand'")));
    let error = deploy(&cluster, without).unwrap_err().to_string();
    assert!(
        error.contains("pipeline shop-v1") && error.contains("hitters did not deploy"),
        "{error}"
    );
    assert!(stub.changes().is_empty());
}

#[test]
fn what_was_changed_by_hand_is_brought_back() {
    let stub = Stub::start();
    let (cluster, done) = deployed(&stub);
    // Scaled and stopped at the console.
    cluster.scale(&done.deployed, 2, &PATIENCE, &mut |_| {}).unwrap();
    cluster.stop(&done.deployed, &PATIENCE, &mut |_| {}).unwrap();
    let plan = cluster.plan(wanted(1, "SELECT 1;\n")).unwrap();
    let stopped = Change::Alter {
        parallelism: None,
        interval: None,
        start: Some("Stopped".into()),
    };
    assert_eq!((plan.change.clone(), plan.parallelism()), (stopped, 2));
    let mut given = wanted(1, "SELECT 1;\n");
    (given.parallelism_given, given.checkpoint_interval) = (true, Some(Duration::from_millis(1)));
    let (plan, done, _) = deploy(&cluster, given).unwrap();
    let interval = Some((Duration::from_secs(10), Duration::from_secs(1)));
    assert_eq!(
        plan.change,
        Change::Alter {
            parallelism: Some((2, 4)),
            interval,
            start: Some("Stopped".into())
        }
    );
    assert_eq!((done.deployed.state(), done.deployed.parallelism()), ("Running", 4));
    // A text with our mark that somebody edited is not what was deployed.
    let edit = |one: &mut serde_json::Value| {
        one["query"] = json!(one["query"].as_str().unwrap().replace("SELECT 1", "SELECT 9"));
    };
    stub.world(|world| world.by_hand("shop-v1", edit));
    assert_eq!(cluster.plan(wanted(1, "SELECT 1;\n")).unwrap().change, Change::Replace);
}

#[test]
fn a_failed_job_is_started_again() {
    let stub = Stub::start();
    let (cluster, _) = deployed(&stub);
    stub.world(|world| world.break_job("shop-v1", "disk full"));
    let (plan, done, _) = deploy(&cluster, wanted(1, "SELECT 1;\n")).unwrap();
    assert!(matches!(&plan.change, Change::Alter { start: Some(state), .. } if state == "Failed"));
    assert_eq!(done.deployed.state(), "Running");
}

#[test]
fn faults_of_the_planner_come_with_their_places_and_change_nothing() {
    let stub = Stub::start();
    let fault = json!({ "message": "no field named x", "span": { "start": { "line": 1, "column": 8 }, "end": { "line": 1, "column": 9 } } });
    stub.world(|world| world.planner = vec![fault, json!("Expected: SELECT at Line: 2, Column: 1")]);
    let error = cluster(&stub).plan(wanted(1, "SELECT x;\n")).unwrap_err();
    let Error::Sql(faults) = error else { panic!("{error}") };
    assert_eq!(faults[0].span, Some(((1, 8), (1, 9))));
    assert_eq!(faults[1].span, Some(((2, 1), (2, 1))));
    assert!(stub.changes().is_empty());
}

#[test]
fn a_job_that_fails_at_every_row_is_an_error_with_its_reason() {
    let stub = Stub::start();
    stub.world(|world| world.behaviour = Behaviour::Loops("called `Option::unwrap()` on a `None` value".into()));
    let cluster = cluster(&stub);
    let plan = cluster.plan(wanted(1, "SELECT 1;\n")).unwrap();
    let mut troubles = 0;
    let mut tell = |event| troubles += usize::from(matches!(event, Event::Trouble(_)));
    let error = cluster.apply(&plan, &PATIENCE, &mut tell).unwrap_err().to_string();
    assert!(error.contains("fails again and again"), "{error}");
    assert!(
        error.contains("RedisSink<sink> (sink_sink_3): called `Option::unwrap()`"),
        "{error}"
    );
    assert!(troubles >= 3);
}

#[test]
fn a_job_that_does_not_get_there_is_late() {
    let stub = Stub::start();
    stub.world(|world| world.behaviour = Behaviour::Stays("Scheduling".into()));
    let cluster = cluster(&stub);
    let plan = cluster.plan(wanted(1, "SELECT 1;\n")).unwrap();
    let patience = Patience {
        state: Duration::from_millis(300),
        ..PATIENCE
    };
    let error = cluster.apply(&plan, &patience, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("shop-v1 is Scheduling"), "{error}");
}

#[test]
fn calls_that_ask_are_repeated_and_calls_that_create_are_not() {
    let stub = Stub::start();
    let cluster = cluster(&stub);
    stub.fail("GET", "/udfs", Fault::Status(503, ""), 2);
    stub.fail("GET", "/pipelines", Fault::Lost, 1);
    stub.fail(
        "GET",
        "/pipelines",
        Fault::Status(500, r#"{"error": "Something went wrong"}"#),
        1,
    );
    let plan = cluster.plan(wanted(1, "SELECT 1;\n")).unwrap();
    stub.fail(
        "POST",
        "/pipelines",
        Fault::Status(500, r#"{"error": "Something went wrong"}"#),
        1,
    );
    let error = cluster.apply(&plan, &PATIENCE, &mut |_| {}).unwrap_err().to_string();
    assert!(
        error.contains("refuses to create the pipeline shop-v1: Something went wrong (status 500)"),
        "{error}"
    );
    assert_eq!(stub.changes(), ["POST /udfs", "POST /udfs", "POST /pipelines"]);
    // For ever is too long.
    stub.fail("GET", "/udfs", Fault::Status(502, "<html>Bad Gateway</html>"), 100);
    let error = cluster.plan(wanted(1, "SELECT 1;\n")).unwrap_err().to_string();
    assert!(error.contains("Bad Gateway"), "{error}");
}

#[test]
fn a_creation_whose_answer_is_lost_is_found_and_not_repeated() {
    let stub = Stub::start();
    stub.fail("POST", "/udfs", Fault::AnswerLost, 1);
    stub.fail("POST", "/pipelines", Fault::Lost, 0);
    let cluster = cluster(&stub);
    let plan = cluster.plan(wanted(1, "SELECT 1;\n")).unwrap();
    stub.fail("POST", "/pipelines", Fault::AnswerLost, 1);
    let done = cluster.apply(&plan, &PATIENCE, &mut |_| {}).unwrap();
    assert_eq!(done.deployed.state(), "Running");
    assert_eq!(
        stub.world(|world| (world.functions.len(), world.pipelines().len())),
        (2, 1)
    );
}

#[test]
fn a_slow_answer_is_given_up_in_time() {
    let stub = Stub::start();
    let mut options = Options::new(stub.url());
    options.timeout = Duration::from_millis(300);
    let cluster = Cluster::new(options).unwrap();
    stub.fail("GET", "/udfs", Fault::Slow(Duration::from_secs(20)), 1);
    let begun = Instant::now();
    let error = cluster.plan(wanted(1, "SELECT 1;\n")).unwrap_err();
    assert!(matches!(error, Error::Slow { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_cluster_with_a_key_wants_the_right_one() {
    let stub = Stub::start();
    stub.wants_key("sesame");
    let with = |key: Option<&str>| {
        let mut options = Options::new(stub.url());
        options.api_key = key.map(str::to_owned);
        Cluster::new(options)
            .unwrap()
            .versions("shop")
            .map(|found| found.len())
            .map_err(|error| error.to_string())
    };
    assert_eq!(with(Some("sesame")), Ok(0));
    let (none, wrong) = (with(None).unwrap_err(), with(Some("hush")).unwrap_err());
    assert!(
        none.contains("wants an API key") && none.contains("--api-key-env"),
        "{none}"
    );
    assert!(
        wrong.contains("refuses the API key") && !wrong.contains("hush"),
        "{wrong}"
    );
}

#[test]
fn a_cluster_with_tls_is_trusted_by_its_own_certificate_only() {
    let folder = tempfile::tempdir().unwrap();
    let stub = Stub::with_tls(folder.path());
    let with = |ca: Option<&str>| {
        let mut options = Options::new(stub.url());
        options.ca = ca.map(|name| folder.path().join(name));
        let cluster = Cluster::new(options).map_err(|error| error.to_string())?;
        cluster
            .versions("shop")
            .map(|found| found.len())
            .map_err(|error| error.to_string())
    };
    assert_eq!(with(Some("tls.crt")), Ok(0));
    assert!(with(None).unwrap_err().contains("does not answer"));
    assert!(
        with(Some("tls.key"))
            .unwrap_err()
            .contains("there is no certificate in it")
    );
    assert!(with(Some("nothing")).unwrap_err().contains("cannot be used"));
    // Somebody else's certificate.
    let other = tempfile::tempdir().unwrap();
    drop(Stub::with_tls(other.path()));
    std::fs::copy(other.path().join("tls.crt"), folder.path().join("other.crt")).unwrap();
    assert!(with(Some("other.crt")).unwrap_err().contains("does not answer"));
}

#[test]
fn a_cluster_with_mutual_tls_takes_whoever_has_a_certificate_of_its_authority() {
    let folder = tempfile::tempdir().unwrap();
    let stub = Stub::with_mutual_tls(folder.path());
    let with = |identity: Option<&str>| {
        let mut options = Options::new(stub.url());
        options.ca = Some(folder.path().join("tls.crt"));
        options.identity = identity.map(|name| folder.path().join(name));
        let cluster = Cluster::new(options).map_err(|error| error.to_string())?;
        cluster
            .versions("shop")
            .map(|found| found.len())
            .map_err(|error| error.to_string())
    };
    assert_eq!(with(Some("client.pem")), Ok(0));
    let error = with(None).unwrap_err();
    assert!(error.contains("does not answer"), "{error}");
    let error = with(Some("client.crt")).unwrap_err();
    assert!(error.contains("there is no private key in it"), "{error}");
    let error = with(Some("client.key")).unwrap_err();
    assert!(error.contains("there is no certificate in it"), "{error}");
}

#[test]
fn what_is_no_arroyo_is_said_to_be_none() {
    let stub = Stub::start();
    stub.fail("GET", "/udfs", Fault::Status(404, "<h1>It works!</h1>"), 1);
    let error = cluster(&stub).plan(wanted(1, "")).unwrap_err().to_string();
    assert!(
        error.contains("not as an Arroyo does") && error.contains("It works!") && error.contains("5115"),
        "{error}"
    );
    stub.fail("GET", "/udfs", Fault::Status(200, "[]"), 1);
    let error = cluster(&stub).plan(wanted(1, "")).unwrap_err().to_string();
    assert!(error.contains("not as an Arroyo does"), "{error}");
    // Nobody listens there.
    let nobody = Cluster::new(Options::new(format!(
        "http://127.0.0.1:{}",
        hitters_tests::services::free_port()
    )));
    let error = nobody.unwrap().versions("shop").unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[test]
fn stopped_scaled_and_started_it_is_waited_for() {
    let stub = Stub::start();
    let (cluster, done) = deployed(&stub);
    cluster.scale(&done.deployed, 8, &PATIENCE, &mut |_| {}).unwrap();
    let now = &cluster.versions("shop").unwrap()[0];
    assert_eq!((now.parallelism(), now.state()), (8, "Running"));
    let epoch = cluster.stop(now, &PATIENCE, &mut |_| {}).unwrap();
    assert_eq!(epoch, Some(2), "the checkpoint of the scaling and that of the stop");
    assert_eq!(cluster.versions("shop").unwrap()[0].state(), "Stopped");
    // Stopped it is stopped.
    assert_eq!(cluster.stop(now, &PATIENCE, &mut |_| {}).unwrap(), Some(2));
    cluster.start(now, &PATIENCE, &mut |_| {}).unwrap();
    assert_eq!(cluster.versions("shop").unwrap()[0].state(), "Running");
}

#[test]
fn status_adds_rates_up_and_names_what_is_unknown() {
    let stub = Stub::start();
    let (cluster, done) = deployed(&stub);
    cluster.stop(&done.deployed, &PATIENCE, &mut |_| {}).unwrap();
    let status = cluster.status(&done.deployed).unwrap();
    assert_eq!(
        (status.pipeline.as_str(), status.state.as_str(), status.parallelism),
        ("shop-v1", "Stopped", 4)
    );
    assert_eq!(status.events(), Some(1500.0));
    assert_eq!(
        (status.operators[0].backpressure, status.operators[3].received),
        (Some(0.75), Some(20.0))
    );
    let checkpoint = status.checkpoint.unwrap();
    assert_eq!(
        (
            checkpoint.epoch,
            checkpoint.finished - checkpoint.started,
            checkpoint.bytes
        ),
        (1, 5, Some(1000))
    );
    assert!(status.errors.is_empty() && status.unknown.is_empty());
    stub.fail(
        "GET",
        "/pipelines/pl_3/jobs/job_pl_3/operator_metric_groups",
        Fault::Status(503, r#"{"error": "controller-service not available"}"#),
        9,
    );
    let status = cluster.status(&done.deployed).unwrap();
    assert_eq!(status.events(), None);
    assert!(
        status.unknown[0].contains("controller-service not available"),
        "{:?}",
        status.unknown
    );
}
