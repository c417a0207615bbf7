use super::*;

fn person(name: &str, id: i64) -> PersonRef {
    PersonRef {
        id: UserId(id),
        name: name.to_owned(),
    }
}

fn at(minute: i64) -> Timestamp {
    "2026-06-01T12:00:00Z".parse::<Timestamp>().expect("a time") + chrono::Duration::minutes(minute)
}

fn stop(scope: &str) -> Stop {
    Stop {
        id: 7,
        scope: scope.parse().unwrap_or_else(|error| panic!("{error}")),
        by: person("alice", 1),
        at: at(0),
        reason: "the disk is full".to_owned(),
        votes: Vec::new(),
    }
}

#[test]
fn what_a_stop_covers() {
    let (agent, runbook): (AgentName, RunbookName) = ("bot".parse().expect("a name"), "scale".parse().expect("a name"));
    let paths: Vec<RepoPath> = ["a/x.yaml", "b/y.yaml"].iter().map(|path| path.parse().expect("a path")).collect();
    let run = Subject {
        agent: &agent,
        paths: &paths,
        runbook: Some(&runbook),
        tier: Tier::Standard,
    };
    let change = Subject {
        runbook: None,
        tier: Tier::Prompted,
        ..run
    };
    for (scope, both) in [
        ("", [true, true]),
        ("all", [true, true]),
        ("agent bot", [true, true]),
        ("agent other", [false, false]),
        ("path b/**", [true, true]),
        ("path b/*.tf", [false, false]),
        ("runbook scale", [true, false]),
        ("tier standard", [true, false]),
        ("tier prompted", [false, true]),
    ] {
        assert_eq!([&run, &change].map(|subject| stop(scope).covers(subject)), both, "{scope}");
    }
    for wrong in [
        "everything",
        "agent",
        "path",
        "path /a",
        "path a/{",
        "tier fast",
        "all of it",
        "runbook",
    ] {
        assert!(wrong.parse::<Scope>().is_err(), "{wrong}");
    }
}

#[test]
fn two_people_resume_within_an_hour() {
    let vote = |name, id, minute| ResumeVote {
        by: person(name, id),
        at: at(minute),
    };
    let anybody = |_| true;
    let mut one = stop("all");
    assert_eq!(one.resume(vote("alice", 1, 1), anybody), Resumption::Missing(1));
    assert_eq!(
        one.resume(vote("alice", 1, 2), anybody),
        Resumption::Missing(1),
        "one person, one voice"
    );
    assert_eq!(one.clone().resume(vote("bob", 2, 61), anybody), Resumption::Over);
    assert_eq!(
        one.clone().resume(vote("bob", 2, 62), anybody),
        Resumption::Missing(1),
        "an hour later it is forgotten"
    );
    assert_eq!(
        one.clone().resume(vote("bob", 2, 1), anybody),
        Resumption::Missing(1),
        "a clock was turned back"
    );
    assert_eq!(
        one.clone().resume(vote("bob", 2, 3), |id| id != UserId(1)),
        Resumption::Missing(1),
        "alice may no longer"
    );
    assert_eq!(
        one.resume(vote("mallory", 9, 3), |id| id != UserId(9)),
        Resumption::Missing(1),
        "a stranger"
    );
}

#[test]
fn what_people_write_behind_stop() {
    let said = |text: &str| {
        let request: StopRequest = text.parse().unwrap_or_else(|error| panic!("{error}"));
        (request.scope.to_string(), request.reason)
    };
    for (text, scope, reason) in [
        ("", "all", ""),
        ("all", "all", ""),
        ("All the disk is full", "all", "the disk is full"),
        ("because the disk is full", "all", "the disk is full"),
        ("Because: the disk is full", "all", "the disk is full"),
        ("- the disk is full", "all", "the disk is full"),
        ("everything, because of the move", "all", "of the move"),
        ("agent bot", "agent bot", ""),
        ("Agent bot: it runs wild ", "agent bot", "it runs wild"),
        ("path a/** because of the move", "path a/**", "of the move"),
        ("runbook scale \u{2013} two failures", "runbook scale", "two failures"),
        ("tier standard it is night", "tier standard", "it is night"),
    ] {
        assert_eq!(said(text), (scope.to_owned(), reason.to_owned()), "{text}");
    }
    for wrong in ["agent", "path", "tier fast", "bot", "the disk is full", "agnet bot"] {
        let error = wrong.parse::<StopRequest>().expect_err(wrong).to_string();
        assert!(!error.is_empty(), "{wrong}");
    }
    for wrong in ["path /abs", "path /abs/** it burns", "path a/[b"] {
        let error = wrong.parse::<StopRequest>().expect_err(wrong).to_string();
        assert!(
            error.starts_with("path ") && error.contains("without a slash at the beginning"),
            "{error}"
        );
    }
}

#[test]
fn two_others_give_rights_back() {
    let vote = |name, id| ResumeVote {
        by: person(name, id),
        at: at(1),
    };
    let mut lock = Lock {
        id: 1,
        person: person("alice", 1),
        at: at(0),
        votes: Vec::new(),
    };
    assert_eq!(lock.restore(vote("alice", 1), |_| true), Resumption::Missing(2), "not one's own");
    assert_eq!(lock.restore(vote("bob", 2), |_| true), Resumption::Missing(1));
    assert_eq!(lock.restore(vote("carol", 3), |_| true), Resumption::Over);
}

#[test]
fn stops_are_stored_as_they_are_said() {
    for scope in ["all", "agent bot", "path a/**", "runbook scale", "tier standard"] {
        let stop = stop(scope);
        assert_eq!(stop.scope.to_string(), scope);
        let stored = serde_json::to_string(&stop).expect("JSON");
        assert_eq!(serde_json::from_str::<Stop>(&stored).expect("a stop"), stop, "{stored}");
    }
    assert_eq!(stop("path a/**").why(), "alice stopped path a/**: the disk is full");
}
