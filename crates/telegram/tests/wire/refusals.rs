//! The wire itself: what was surely not sent, what may be there, and that the token never shows.

use simulators::telegram::Fault;
use telegram::{ClientOptions, SendError, Standing, Trouble};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::*;

#[tokio::test]
async fn a_lost_answer_is_ambiguous_and_a_closed_door_is_not() {
    let (sim, client) = telegram().await;
    let queue = queue(&client);
    let send = async || queue.send(group(), None, words("x"), true, None).await;
    sim.fail_next("sendMessage", Fault::LoseAnswer, 1);
    assert!(matches!(send().await, Err(SendError::Ambiguous { .. })));
    assert_eq!(sim.messages(GROUP).len(), 1, "it is there, and was not sent twice");
    for fault in [Fault::Garbage, Fault::Status(500), Fault::Status(502)] {
        sim.fail_next("sendMessage", fault.clone(), 1);
        assert!(matches!(send().await, Err(SendError::Ambiguous { .. })), "{fault:?}");
    }
    // A port that was just free refuses connections.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a free port");
    let nobody = crate::queue(&crate::client(&format!("http://{free}")));
    assert!(matches!(
        nobody.send(group(), None, words("x"), true, None).await,
        Err(SendError::Unreachable { .. })
    ));
}

#[tokio::test]
async fn a_time_out_is_ambiguous() {
    let (sim, _) = telegram().await;
    let options = ClientOptions {
        token: TelegramOptions::default().token.into(),
        api_url: sim.url().parse().expect("an address"),
        timeout: Duration::from_secs(2),
        upload_timeout: DEADLINE,
    };
    let queue = queue(&Client::new(options).expect("a client"));
    sim.fail_next("sendMessage", Fault::Hang(None), 1);
    let result = queue.send(group(), None, words("x"), true, None).await;
    assert!(matches!(result, Err(SendError::Ambiguous { .. })), "{result:?}");
}

#[tokio::test]
async fn the_token_shows_nowhere() {
    let secret = "SECRETSECRETSECRETSECRETSECRETSECRET";
    let server = MockServer::start().await;
    let options = |url: &str| ClientOptions {
        token: format!("123:{secret}").into(),
        api_url: url.parse().expect("an address"),
        timeout: Duration::from_secs(20),
        upload_timeout: DEADLINE,
    };
    // A path prefix is kept: the place where other clients leak the token.
    let client = Client::new(options(&format!("{}/prefix", server.uri()))).expect("a client");
    let mut said = format!("{client:?} {:?}", options(&server.uri()));
    for answer in [
        ResponseTemplate::new(401).set_body_string(r#"{"ok":false,"error_code":401,"description":"Unauthorized"}"#),
        // A gateway that puts the request into its answer.
        ResponseTemplate::new(403).set_body_string(format!(
            r#"{{"ok":false,"error_code":403,"description":"Forbidden: /bot123:{secret}/sendMessage of {secret}"}}"#
        )),
        ResponseTemplate::new(200).set_body_string(format!(r#"{{"ok":true,"result":"{secret}"}}"#)),
        ResponseTemplate::new(200).set_body_string("<html>"),
        ResponseTemplate::new(302).insert_header("location", "http://192.0.2.1/"),
        ResponseTemplate::new(200).set_body_string(r#"{"ok":true,"result":7}"#),
    ] {
        let mock = Mock::given(method("POST"))
            .and(path(format!("/prefix/bot123:{secret}/sendMessage")))
            .respond_with(answer);
        let scope = mock.expect(1).mount_as_scoped(&server).await;
        let error = queue(&client)
            .send(group(), None, words("x"), true, None)
            .await
            .expect_err("refused");
        said.push_str(&format!("{error} {error:?}"));
        drop(scope);
    }
    let dead = Client::new(options("http://127.0.0.1:1")).expect("a client");
    let error = dead.get_me().await.expect_err("nobody there");
    let wrong = Client::new(ClientOptions {
        token: secret.into(),
        ..options(&server.uri())
    })
    .expect_err("not a token");
    said.push_str(&format!("{error} {error:?} {dead:?} {wrong} {wrong:?}"));
    assert!(!said.contains("SECRET"), "{said}");
}

#[tokio::test]
async fn a_rotated_token_reaches_every_clone() {
    let (_sim, client) = telegram().await;
    let clone = client.clone();
    client.replace_token("7000000001:old".to_owned().into()).expect("a token's shape");
    assert_eq!(clone.get_me().await, Err(SendError::Unauthorized));
    assert!(client.replace_token("nonsense".to_owned().into()).is_err());
    client.replace_token(TelegramOptions::default().token.into()).expect("a token");
    assert_eq!(clone.get_me().await.expect("known again").username, "countersign_bot");
}

#[tokio::test]
async fn a_refusal_of_the_bot_is_no_sign_of_life() {
    let (sim, client) = telegram().await;
    let token = || TelegramOptions::default().token.into();
    assert_eq!(client.standing(), Standing::default());
    client.replace_token("7000000001:old".to_owned().into()).expect("a token's shape");
    assert_eq!(client.get_me().await, Err(SendError::Unauthorized));
    assert_eq!((client.standing().well, client.standing().trouble), (None, Some(Trouble::Token)));
    client.replace_token(token()).expect("a token");
    for (fault, trouble) in [(403, Trouble::Refused), (401, Trouble::Token), (502, Trouble::Silent)] {
        sim.fail_next("getMe", Fault::Status(fault), 1);
        assert!(client.get_me().await.is_err());
        assert_eq!(
            (client.standing().well, client.standing().trouble),
            (None, Some(trouble)),
            "{fault}"
        );
    }
    client.get_me().await.expect("known again");
    let well = client.standing().well.expect("well");
    assert_eq!(client.standing().trouble, None);
    sim.fail_next("getMe", Fault::Status(403), 1);
    assert!(client.get_me().await.is_err());
    assert_eq!(client.standing().well, Some(well), "the last time it went well stays");
    let nobody = ClientOptions {
        token: token(),
        api_url: "http://127.0.0.1:1".parse().expect("an address"),
        timeout: DEADLINE,
        upload_timeout: DEADLINE,
    };
    let nobody = telegram::Client::new(nobody).expect("a client");
    assert!(nobody.get_me().await.is_err());
    assert_eq!(nobody.standing().trouble, Some(Trouble::Silent));
}

#[tokio::test]
async fn a_webhook_is_set_with_its_secret_and_removed() {
    let (sim, client) = telegram().await;
    let url = "https://192.0.2.1:8443/telegram".parse().expect("an address");
    client.set_webhook(&url, &"s3cret".to_owned().into()).await.expect("set");
    assert_eq!(client.webhook_url().await, Ok("https://192.0.2.1:8443/telegram".to_owned()));
    let call = sim.calls(Some("setWebhook")).remove(0);
    assert_eq!(
        (call.param("secret_token").as_str(), call.param("drop_pending_updates").as_str()),
        ("s3cret", "false")
    );
    assert!(call.param("allowed_updates").contains("callback_query"));
    client.delete_webhook().await.expect("removed");
    assert_eq!(sim.webhook_url(), "");
}
