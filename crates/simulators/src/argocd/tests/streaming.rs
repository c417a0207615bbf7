//! The watch stream: framing, snapshot, keepalive, and every way to break.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    super::{Endpoint, Fault},
    LONG, lab, lab_with,
};

#[tokio::test]
async fn the_stream_keeps_alive_breaks_and_repeats() {
    let lab = lab_with(|options| options.keepalive = Duration::from_millis(50)).await;
    // An unknown application: nothing to say but the keepalive.
    let mut events = lab.stream("?name=none").await;
    assert_eq!(events.line().await.unwrap().unwrap(), ":");
    // With a resource version there is no snapshot.
    let mut events = lab.stream("?resourceVersion=99999999").await;
    assert_eq!(events.line().await.unwrap().unwrap(), ":");

    let mut events = lab.stream("?fields=result.type,result.application.metadata.name").await;
    let expected = json!({"result": {"type": "ADDED", "application": {"metadata": {"name": "api"}}}});
    assert_eq!(events.event().await, expected);
    events.event().await;
    lab.sim.drop_streams();
    let broken = loop {
        match events.line().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(broken.is_err(), "a cut, not an end");

    let mut events = lab.stream("?name=web").await;
    events.event().await;
    lab.sim.end_streams();
    while let Some(line) = events.line().await.unwrap() {
        assert_eq!(line, ":");
    }

    lab.sim.fail_next(Endpoint::Stream, Fault::Status(401), 1);
    let mut events = lab.stream("").await;
    assert_eq!(events.response.status(), 401);
    assert_eq!(events.event().await["error"]["http_code"], 401);

    lab.sim.set_duplicate_events(true);
    let mut events = lab.stream("?name=web").await;
    assert_eq!(events.event().await, events.event().await);
    assert_eq!(lab.sim.count(Endpoint::Stream), 6);
}

#[tokio::test]
async fn without_sse_the_stream_is_lines_of_json() {
    let lab = lab().await;
    let request = lab.request(Method::GET, "/api/v1/stream/applications?name=web");
    let mut body = request.send().await.unwrap().bytes_stream();
    let first = timeout(LONG, body.next()).await.unwrap().unwrap().unwrap();
    let event: Value = serde_json::from_slice(&first).unwrap();
    assert_eq!(event["result"]["application"]["metadata"]["name"], "web");
    lab.violations();
}

#[tokio::test]
async fn a_truncated_stream_breaks_after_its_first_message() {
    let lab = lab().await;
    lab.sim.fail_next(Endpoint::Stream, Fault::Truncate, 1);
    let mut events = lab.stream("").await;
    events.event().await;
    assert!(events.line().await.is_err());
}
